//! What people and programs see: entries in their formats, tables, colours, JSON, progress.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::exit::Failure;

const BUFFER: usize = 64 << 10;

/// Stdout, and what is known of who looks at it.
#[derive(Debug)]
pub(crate) struct Output {
    /// For a program: JSON on stdout and, of an error, on stderr.
    pub(crate) json: bool,
    /// A person looks at stdout.
    pub(crate) terminal: bool,
    pub(crate) on_stdout: Paint,
    pub(crate) on_stderr: Paint,
    stdout: Mutex<BufWriter<Stdout>>,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        Self {
            json,
            terminal: stdout.is_terminal(),
            on_stdout: Paint(AutoStream::choice(&stdout) != ColorChoice::Never),
            on_stderr: Paint(AutoStream::choice(&stderr) != ColorChoice::Never),
            stdout: Mutex::new(BufWriter::with_capacity(BUFFER, stdout)),
        }
    }

    /// Stdout, for as long as one writes to it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, BufWriter<Stdout>> {
        self.stdout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line on stdout, seen at once.
    pub(crate) fn line(&self, text: impl Display) -> Result<(), Failure> {
        let mut stdout = self.lock();
        let done = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
        done.map_err(|error| Failure::stdout(&error))
    }

    /// A result on stdout: `value` for a program, else `text`.
    pub(crate) fn result(&self, value: &Value, text: impl Display) -> Result<(), Failure> {
        if self.json { self.line(value) } else { self.line(text) }
    }

    /// Hands on what is buffered.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        self.lock().flush().map_err(|error| Failure::stdout(&error))
    }

    /// A line on stderr. If nobody can be told there is nobody to tell.
    pub(crate) fn stderr(&self, text: &str) {
        drop(writeln!(io::stderr(), "{text}"));
    }

    /// Something to know that is neither a result nor an error: not for programs.
    pub(crate) fn note(&self, text: &str) {
        if !self.json {
            self.stderr(&format!("{}: {}", self.on_stderr.faint("note"), escaped(text)));
        }
    }

    /// A table as text. Columns whose cells are all numbers or sizes stand to the right.
    pub(crate) fn table(&self, header: &[&str], rows: Vec<Vec<String>>) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(header.iter().copied());
        let numeric = |at: usize| {
            let digit = |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-');
            !rows.is_empty() && rows.iter().all(|row| row.get(at).is_some_and(digit))
        };
        for (at, column) in table.column_iter_mut().enumerate() {
            if numeric(at) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for row in rows {
            table.add_row(row.into_iter().map(|cell| escaped(&cell)));
        }
        let text = table.trim_fmt();
        match text.split_once('\n') {
            Some((first, rest)) => format!("{}\n{rest}", self.on_stdout.strong(first)),
            None => text,
        }
    }

    /// A bar (or, of unknown length, a spinner) on stderr, in bytes; nothing where no person looks.
    pub(crate) fn progress(&self, doing: &'static str, bytes: Option<u64>) -> ProgressBar {
        if self.json || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let (bar, template) = match bytes {
            Some(bytes) => (
                ProgressBar::new(bytes),
                "{prefix} {bar:30} {binary_bytes}/{binary_total_bytes} \
                 ({binary_bytes_per_sec}, {eta} left) {msg}",
            ),
            None => (
                ProgressBar::new_spinner(),
                "{spinner} {prefix} {binary_bytes} ({binary_bytes_per_sec}) {msg}",
            ),
        };
        dressed(bar, template, doing)
    }

    /// A bar on stderr of so many steps; nothing where no person looks.
    pub(crate) fn steps(&self, doing: &'static str, steps: u64) -> ProgressBar {
        if self.json || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        dressed(ProgressBar::new(steps), "{prefix} {bar:30} {percent} % {msg}", doing)
    }
}

fn dressed(bar: ProgressBar, template: &str, doing: &'static str) -> ProgressBar {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(doing);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Colours, where there are any.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    /// Whether there are any, for who paints by other means.
    #[cfg(feature = "top")]
    pub(crate) const fn colours(self) -> bool {
        self.0
    }

    fn with(self, style: Style, text: &str) -> String {
        if self.0 { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.with(Style::new().dimmed(), text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.with(AnsiColor::Green.on_default().bold(), text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.with(AnsiColor::Red.on_default().bold(), text)
    }
}

/// How entries are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The bytes as they are, back to back
    Raw,
    /// A line each; on a terminal, control characters are shown escaped
    Lines,
    /// Seq id, length and a hexdump
    Hex,
    /// One JSON object a line: seq, len, payload in base64
    Jsonl,
}

impl Format {
    /// The format asked for, else the one that suits: JSON for a program.
    pub(crate) fn choose(asked: Option<Self>, otherwise: Self, out: &Output) -> Self {
        asked.unwrap_or(if out.json { Self::Jsonl } else { otherwise })
    }

    /// Writes an entry. With `escape`, nothing in a line can steer a terminal.
    pub(crate) fn write(
        self,
        to: &mut dyn Write,
        seq: u64,
        payload: &[u8],
        escape: bool,
    ) -> io::Result<()> {
        match self {
            Self::Raw => to.write_all(payload),
            Self::Lines if escape => writeln!(to, "{}", escaped_bytes(payload)),
            Self::Lines => to.write_all(payload).and_then(|()| to.write_all(b"\n")),
            Self::Hex => hexdump(to, seq, payload),
            Self::Jsonl => writeln!(
                to,
                "{{\"seq\":{seq},\"len\":{},\"payload\":\"{}\"}}",
                payload.len(),
                STANDARD.encode(payload)
            ),
        }
    }
}

const HEX_WIDTH: usize = 16;

fn hexdump(to: &mut dyn Write, seq: u64, payload: &[u8]) -> io::Result<()> {
    let unit = if payload.len() == 1 { "byte" } else { "bytes" };
    writeln!(to, "{seq}: {} {unit}", payload.len())?;
    for (row, bytes) in payload.chunks(HEX_WIDTH).enumerate() {
        write!(to, "  {:08x} ", row * HEX_WIDTH)?;
        for at in 0..HEX_WIDTH {
            let gap = if at == HEX_WIDTH / 2 { " " } else { "" };
            match bytes.get(at) {
                Some(byte) => write!(to, "{gap} {byte:02x}")?,
                None => write!(to, "{gap}   ")?,
            }
        }
        let shown = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '.' };
        writeln!(to, "  |{}|", bytes.iter().map(shown).collect::<String>())?;
    }
    Ok(())
}

/// `text` without anything that could steer a terminal or turn a line around.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape_into(&mut out, text);
    out
}

/// As [`escaped`], of bytes that may be no text at all.
pub(crate) fn escaped_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        escape_into(&mut out, chunk.valid());
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

fn escape_into(out: &mut String, text: &str) {
    for c in text.chars() {
        let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match c {
            '\t' => out.push(c),
            _ if c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}') => {
                out.extend(c.escape_default());
            }
            _ => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format: Format, payload: &[u8], escape: bool) -> String {
        let mut out = Vec::new();
        format.write(&mut out, 7, payload, escape).unwrap();
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn each_format() {
        assert_eq!(shown(Format::Raw, b"a\nb", false), "a\nb");
        assert_eq!(shown(Format::Lines, b"a\x1b[2J", false), "a\x1b[2J\n");
        assert_eq!(shown(Format::Lines, b"", false), "\n");
        assert_eq!(
            shown(Format::Jsonl, b"hi", true),
            "{\"seq\":7,\"len\":2,\"payload\":\"aGk=\"}\n"
        );
        assert_eq!(shown(Format::Hex, b"", true), "7: 0 bytes\n");
        let dump = shown(Format::Hex, b"0123456789abcdef\x00\xff", true);
        assert_eq!(
            dump,
            "7: 18 bytes\n  \
             00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n  \
             00000010  00 ff                                             |..|\n"
        );
    }

    #[test]
    fn nothing_steers_a_terminal() {
        let hostile = b"\x1b]0;title\x07 a\rb\x08 \xff \xc2\x9b2J \xe2\x80\xae\tok \xc3\xa9";
        let text = shown(Format::Lines, hostile, true);
        assert_eq!(text.trim_end().chars().filter(|c| c.is_control() && *c != '\t').count(), 0);
        assert!(text.contains("\\u{1b}]0;title\\u{7}") && text.contains("\\xff"), "{text}");
        assert!(text.contains("\\u{9b}") && text.contains("\\u{202e}"), "{text}");
        assert!(text.ends_with("\tok é\n"), "{text}");
    }

    /// All that Unicode has to set or turn a direction.
    #[test]
    fn nothing_turns_a_line_around() {
        let turning = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        assert!(escaped(turning).is_ascii(), "{}", escaped(turning));
    }

    #[test]
    fn a_table_lines_up() {
        let out = Output { on_stdout: Paint(false), ..Output::new(false) };
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        let text = out.table(&["Seq", "What"], vec![row("1", "x"), row("100", "y\x1b")]);
        let lines: Vec<_> = text.lines().map(str::trim_end).collect();
        assert_eq!(lines, [" Seq  What", "   1  x", " 100  y\\u{1b}"]);
    }
}
