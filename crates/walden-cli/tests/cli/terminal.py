"""Runs a command in a terminal of its own, does there what a person does, and tells what came of it.

    python3 terminal.py STEPS COMMAND...

STEPS is a JSON list of objects, one after the other: {"see": TEXT} waits until TEXT is on the screen, {"type": TEXT},
{"resize": [COLUMNS, ROWS]}, {"signal": NUMBER}, {"run": COMMAND, "input": TEXT}, {"hang_up": true}. Then the command is
waited for. What came of it is a JSON object on stdout.
"""

import codecs
import fcntl
import json
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unicodedata

PATIENCE = 60
SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")


class Screen:
    """As much of a terminal as it takes to read what is on it."""

    def __init__(self):
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.waiting = ""
        self.raw = ""
        self.cells = {}
        self.row = self.column = 0
        self.alternate = False
        self.cursor = True

    def feed(self, data):
        text = self.decoder.decode(data)
        self.raw += text
        self.waiting += text
        while self.waiting:
            if self.waiting[0] != "\x1b":
                self.put(self.waiting[0])
                self.waiting = self.waiting[1:]
                continue
            found = SEQUENCE.match(self.waiting)
            if found is None:
                if len(self.waiting) < 40:
                    return
                raise SystemExit(f"no sequence that is known: {self.waiting[:40]!r}")
            self.act(found[1], found[2])
            self.waiting = self.waiting[found.end() :]

    def put(self, char):
        if char == "\r":
            self.column = 0
        elif char == "\n":
            self.row += 1
        else:
            self.cells[self.row, self.column] = char
            self.column += 2 if unicodedata.east_asian_width(char) in "WF" else 1

    def act(self, parameters, letter):
        if letter == "H":
            row, column = (parameters.split(";") + ["1", "1"])[:2] if parameters else ("1", "1")
            self.row, self.column = int(row) - 1, int(column) - 1
        elif letter == "J":
            self.cells = {}
        elif letter in "hl" and parameters == "?1049":
            self.alternate = letter == "h"
            self.cells = {}
        elif letter in "hl" and parameters == "?25":
            self.cursor = letter == "h"

    def text(self):
        rows = {}
        for (row, column), char in self.cells.items():
            rows.setdefault(row, {})[column] = char
        line = lambda row: "".join(row.get(at, " ") for at in range(max(row) + 1)).rstrip()
        return "\n".join(line(rows[row]) for row in sorted(rows))


class Terminal:
    def __init__(self, command):
        self.master, self.slave = os.openpty()
        self.resize(100, 30)
        self.before = termios.tcgetattr(self.slave)
        self.screen = Screen()
        self.until = time.monotonic() + PATIENCE
        # As below `nohup`.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        # The terminal is this session's own, as a shell's would be.
        own = lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        ends = {"stdin": self.slave, "stdout": self.slave, "stderr": self.slave}
        self.child = subprocess.Popen(command, start_new_session=True, preexec_fn=own, **ends)

    def resize(self, columns, rows):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def listen(self):
        """Takes what came, if something comes soon."""
        if time.monotonic() > self.until:
            self.child.kill()
            raise SystemExit(f"it took too long; on the screen:\n{self.screen.text()}")
        if self.master is not None and select.select([self.master], [], [], 0.05)[0]:
            self.screen.feed(os.read(self.master, 65536))
            return True
        return False

    def step(self, step):
        if "see" in step:
            while step["see"] not in self.screen.text():
                if not self.listen() and self.child.poll() is not None:
                    raise SystemExit(f"it ended without {step['see']!r}; it said:\n{self.screen.text()}")
        elif "type" in step:
            os.write(self.master, step["type"].encode())
        elif "resize" in step:
            self.resize(*step["resize"])
        elif "signal" in step:
            self.child.send_signal(step["signal"])
        elif "run" in step:
            subprocess.run(step["run"], input=step.get("input", ""), text=True, check=True, stdout=subprocess.DEVNULL)
        elif "hang_up" in step:
            os.close(self.master)
            self.master = None

    def end(self):
        while self.listen() or self.child.poll() is None:
            if self.master is None:
                time.sleep(0.02)
        # What it said last.
        while self.listen():
            pass
        return {
            "code": self.child.returncode,
            "screen": self.screen.text(),
            "raw": self.screen.raw,
            "alternate": self.screen.alternate,
            "cursor": self.screen.cursor,
            "restored": self.master is None or termios.tcgetattr(self.slave) == self.before,
        }


def main(steps, *command):
    terminal = Terminal(command)
    try:
        for step in json.loads(steps):
            terminal.step(step)
        print(json.dumps(terminal.end()))
    finally:
        if terminal.child.poll() is None:
            terminal.child.kill()
            terminal.child.wait()


main(*sys.argv[1:])
