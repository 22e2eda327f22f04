"""Long runs leave a file in docs/evidence, and any part of them can be run again.

    python3 .ci/evidence.py run [--minutes M] [--seed S] [--jobs J]   a long simulation; writes its file
    python3 .ci/evidence.py rerun [--percent P] [FILE]                one per cent of all there is again

Other long runs write theirs themselves: `walden-faults COMMAND --evidence FILE` and `fuzz/long.py --evidence`.

A file says what was run and of which commit, when it began and ended, what was done, what was found, and a digest of
each thousand histories: all bytes on the disk, all its calls and all that the log said went into it. Run again at the
same commit, the digests must be the same; at another one, nothing may be found.
"""

import argparse
import datetime
import json
import pathlib
import random
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
EVIDENCE = ROOT / "docs" / "evidence"
SIM = ["cargo", "run", "--locked", "-q", "--release", "-p", "walden-sim", "--"]
FAULTS = ["cargo", "run", "--locked", "-q", "--release", "-p", "walden-faults", "--"]
# What says how long a run is, and how long it is where that is not said.
AMOUNTS = {"kill": ("--kills", int), "power": ("--rounds", int), "soak": ("--minutes", float), "play": ("--rounds", int)}
DEFAULTS = {"kill": 100, "power": 3, "soak": 1.0, "play": 5}


def git(*command):
    return subprocess.check_output(["git", *command], cwd=ROOT, text=True).strip()


def commit():
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "crates", "Cargo.lock")
    return git("rev-parse", "HEAD") + ("-changed" if changed else "")


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def simulate(*options):
    """The exit code, what was done, and all else that was said."""
    done = subprocess.run([*SIM, *options, "--json"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    first, _, rest = done.stdout.partition("\n")
    if not first.startswith("{"):
        sys.exit(f"the simulation did not run (exit code {done.returncode})")
    return done.returncode, json.loads(first), rest


def run(args):
    # Built before the clock starts.
    subprocess.run(["cargo", "build", "--locked", "-q", "--release", "-p", "walden-sim"], cwd=ROOT, check=True)
    options = ["--seed", str(args.seed), "--minutes", str(args.minutes), "--jobs", str(args.jobs)]
    began, of = now(), commit()
    code, done, said = simulate(*options)
    record = {
        "what": "simulation",
        "command": " ".join([*SIM, *options]),
        "commit": of,
        "began": began,
        "ended": now(),
        "findings": [] if code == 0 else said.strip().splitlines(),
        **done,
    }
    EVIDENCE.mkdir(exist_ok=True)
    path = EVIDENCE / f"simulation-{began[:10]}-{of[:9]}-from-{args.seed}.json"
    blocks = ",\n".join(f"  {json.dumps(block)}" for block in record.pop("blocks"))
    text = json.dumps(record, indent=1)
    path.write_text(text.removesuffix("\n}") + ',\n "blocks": [\n' + blocks + "\n ]\n}\n")
    print(f"{path.relative_to(ROOT)}: {record['histories']} histories, {len(record['findings'])} lines of findings")
    sys.exit(code)


def again_simulated(path, record, percent):
    """Blocks of histories, chosen at random. True: something is wrong."""
    failed, same = False, record["commit"] == commit()
    blocks, size = record["blocks"], record["block"]
    count = max(1, round(len(blocks) * percent / 100))
    for at in sorted(random.sample(range(len(blocks)), min(count, len(blocks)))):
        histories, digest = blocks[at]
        seed = record["first_seed"] + at * size
        code, done, said = simulate("--seed", str(seed), "--seeds", str(histories))
        matches = done["blocks"] == [[histories, digest]]
        failed |= code != 0 or (same and not matches)
        what = "nothing found" if code == 0 else said
        told = "the same bytes" if matches else "other bytes" + ("" if same else " (of another commit)")
        print(f"{path.name}: seeds {seed} to {seed + histories - 1}: {what}; {told}", flush=True)
    return failed


def again_on_real_files(path, record, percent):
    """The same choices, though not the same moments: fewer of them."""
    run, words = record["run"], record["command"].split()
    command = [*FAULTS, run]
    if run in ("calls", "full"):
        # What they try is a table and no amount: the smallest part that has a bit of each row.
        command += ["--sample"] + (["--places", "1"] if run == "calls" else [])
    else:
        option, kind = AMOUNTS[run]
        of = words[words.index(option) + 1] if option in words else DEFAULTS[run]
        amount = float(of) * percent / 100
        command += [option, str(max(1, round(amount)) if kind is int else max(0.1, amount))]
    if record.get("seed") is not None and run not in ("full", "play"):
        command += ["--seed", str(record["seed"])]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    what = "nothing found" if done.returncode == 0 else f"exit code {done.returncode}"
    print(f"{path.name}: {' '.join(command[len(FAULTS):])}: {what}", flush=True)
    return done.returncode != 0


def again_fuzzed(path, record, percent):
    """A target chosen by the time it had, from the stored inputs on and with one of its seeds."""
    if shutil.which("cargo-fuzz") is None:
        print(f"{path.name}: left out, as cargo-fuzz is not installed")
        return False
    targets = record["targets"]
    target = random.choices(list(targets), [one["seconds"] for one in targets.values()])[0]
    minutes = sum(one["seconds"] for one in targets.values()) * percent / 100 / 60
    seed = str(random.choice(targets[target]["seeds"]))
    command = ["python3", "fuzz/long.py", "--minutes", str(max(0.1, minutes)), "--targets", target, "--seed", seed]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    what = "nothing found" if done.returncode == 0 else f"exit code {done.returncode}"
    print(f"{path.name}: {target}, seed {seed}, {minutes:.1f} minutes: {what}", flush=True)
    return done.returncode != 0


def rerun(args):
    files = [pathlib.Path(args.file)] if args.file else sorted(EVIDENCE.glob("*.json"))
    if not files:
        sys.exit("there is no evidence to run again")
    failed = False
    for path in files:
        record = json.loads(path.read_text())
        if "blocks" in record:
            failed |= again_simulated(path, record, args.percent)
        elif "targets" in record:
            failed |= again_fuzzed(path, record, args.percent)
        else:
            failed |= again_on_real_files(path, record, args.percent)
    sys.exit(failed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run")
    one.add_argument("--minutes", type=float, default=20)
    one.add_argument("--seed", type=int, default=random.randrange(1 << 40))
    one.add_argument("--jobs", type=int, default=1)
    one.set_defaults(do=run)
    again = commands.add_parser("rerun")
    again.add_argument("--percent", type=float, default=1)
    again.add_argument("file", nargs="?")
    again.set_defaults(do=rerun)
    args = parser.parse_args()
    args.do(args)


main()
