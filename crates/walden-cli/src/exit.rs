//! From what went wrong to what is said about it and the code that the program ends with.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Map, Value, json};
use walden::ErrorKind;

use crate::output::{Output, escaped};
use crate::signal;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Fine,
    Error,
    Usage,
    Damage,
    Interrupted,
}

impl Code {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Error => 1,
            Self::Usage => 2,
            Self::Damage => 3,
            Self::Interrupted => 130,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code.number())
    }
}

/// What went wrong.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    facts: Box<Facts>,
}

/// All that is known of a failure. As JSON, it is one flat object.
#[derive(Debug, Clone, Default)]
struct Facts {
    kind: String,
    message: String,
    path: Option<PathBuf>,
    offset: Option<u64>,
    seq: Option<u64>,
    last_seq: Option<u64>,
    advice: Option<String>,
    /// What more a program may want to know.
    details: Map<String, Value>,
    /// What more a person may want to know, a line each.
    notes: Vec<String>,
}

impl Failure {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::of(code_of(kind), &format!("{kind:?}"), message)
    }

    fn of(code: Code, kind: &str, message: impl Into<String>) -> Self {
        let facts = Facts { kind: kind.to_owned(), message: message.into(), ..Facts::default() };
        Self { code, facts: Box::new(facts) }
    }

    /// Arguments that are each fine and make no sense together.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::of(Code::Usage, "Usage", message)
    }

    pub(crate) fn interrupted() -> Self {
        let how = if signal::terminated() { "ended by SIGTERM" } else { "ended by Ctrl-C" };
        Self::of(Code::Interrupted, "Interrupted", how)
    }

    pub(crate) fn io(doing: &str, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::OutOfSpace,
            _ => ErrorKind::Io,
        };
        Self::new(kind, format!("cannot {doing}: {error}"))
    }

    /// A failure to write to stdout. That the reader went away is none: `walden cat log | head` is fine.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        let failure = Self::io("write to stdout", error);
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { code: Code::Fine, ..failure };
        }
        failure
    }

    fn with(mut self, change: impl FnOnce(&mut Facts)) -> Self {
        change(&mut self.facts);
        self
    }

    pub(crate) fn path(self, path: &Path) -> Self {
        self.with(|facts| facts.path = Some(path.to_owned()))
    }

    pub(crate) fn offset(self, offset: u64) -> Self {
        self.with(|facts| facts.offset = Some(offset))
    }

    pub(crate) fn seq(self, seq: u64) -> Self {
        self.with(|facts| facts.seq = Some(seq))
    }

    pub(crate) fn advice(self, advice: impl Into<String>) -> Self {
        self.with(|facts| facts.advice = Some(advice.into()))
    }

    /// A fact beside the failure: `name` and `value` for programs, `note` for people.
    pub(crate) fn detail(self, name: &str, value: Value, note: impl Into<String>) -> Self {
        self.with(|facts| {
            facts.details.insert(name.to_owned(), value);
            facts.notes.push(note.into());
        })
    }

    /// Another failure that this one brings along.
    pub(crate) fn beside(self, name: &str, other: &Self) -> Self {
        self.detail(name, other.facts.json(), other.facts.text())
    }

    #[cfg(test)]
    pub(crate) fn to_json(&self) -> Value {
        self.facts.json()
    }

    /// Says it on stderr. A reader that went away is nothing to speak of.
    pub(crate) fn report(&self, out: &Output) {
        if self.code == Code::Fine {
            return;
        }
        let facts = &self.facts;
        if out.json {
            out.stderr(&facts.json().to_string());
            return;
        }
        let label = if self.code == Code::Interrupted { "stopped" } else { "error" };
        out.stderr(&format!("{}: {}", out.on_stderr.bad(label), escaped(&facts.text())));
        for note in &facts.notes {
            out.stderr(&format!("  {}: {}", out.on_stderr.faint("note"), escaped(note)));
        }
        if let Some(advice) = &facts.advice {
            out.stderr(&format!("  {}: {}", out.on_stderr.good("help"), escaped(advice)));
        }
    }
}

impl Facts {
    fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("kind".to_owned(), json!(self.kind));
        object.insert("message".to_owned(), json!(self.message));
        let path = self.path.as_deref().map(|path| path.to_string_lossy().into_owned());
        object.insert("path".to_owned(), json!(path));
        object.insert("offset".to_owned(), json!(self.offset));
        object.insert("seq".to_owned(), json!(self.seq));
        object.insert("last_seq".to_owned(), json!(self.last_seq));
        object.insert("advice".to_owned(), json!(self.advice));
        object.extend(self.details.clone());
        Value::Object(object)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if let Some(path) = &self.path {
            text.push_str(&path.display().to_string());
            if let Some(offset) = self.offset {
                text.push_str(&format!(" at byte {offset}"));
            }
            text.push_str(": ");
        }
        text.push_str(&self.message);
        match (self.seq, self.last_seq) {
            (Some(first), Some(last)) if first != last => {
                text.push_str(&format!(" (seq ids {first}..={last})"));
            }
            (Some(seq), _) => text.push_str(&format!(" (seq id {seq})")),
            (None, _) => {}
        }
        text
    }
}

impl From<walden::Error> for Failure {
    fn from(error: walden::Error) -> Self {
        let kind = error.kind();
        Self::new(kind, bare_message(&error)).with(|facts| {
            facts.path = error.file().map(Path::to_owned);
            facts.offset = error.offset();
            facts.seq = error.seq();
            facts.last_seq = error.last_seq();
            facts.advice = error.what_to_do().map(str::to_owned);
        })
    }
}

fn code_of(kind: ErrorKind) -> Code {
    if kind == ErrorKind::Corrupt { Code::Damage } else { Code::Error }
}

/// The text of an error without the place and the advice, which are said apart.
fn bare_message(error: &walden::Error) -> String {
    let mut text = error.to_string();
    if let Some(path) = error.file() {
        let place = match error.offset() {
            Some(offset) => format!("{} at byte {offset}: ", path.display()),
            None => format!("{}: ", path.display()),
        };
        text = text.strip_prefix(&place).map_or(text.clone(), str::to_owned);
    }
    if let Some(advice) = error.what_to_do() {
        text = text.strip_suffix(&format!("; {advice}")).map_or(text.clone(), str::to_owned);
    }
    let ids = match (error.seq(), error.last_seq()) {
        (Some(first), Some(last)) if first != last => format!(" (seq ids {first}..={last})"),
        (Some(seq), _) => format!(" (seq id {seq})"),
        (None, _) => String::new(),
    };
    text.strip_suffix(&ids).map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_damage_is_3() {
        assert_eq!(Failure::new(ErrorKind::Corrupt, "x").code.number(), 3);
        for kind in [ErrorKind::TornTail, ErrorKind::Io, ErrorKind::Locked, ErrorKind::NotFound] {
            assert_eq!(Failure::new(kind, "x").code.number(), 1);
        }
    }

    #[test]
    fn the_library_s_words_are_taken_apart() {
        let missing = Path::new("there is\u{1b}none");
        let error = walden::Wal::open(missing, walden::Config::durable().segment_prefix("a/b"));
        let failure = Failure::from(error.unwrap_err());
        assert_eq!(failure.facts.kind, "InvalidInput");
        assert!(!missing.exists());
    }

    #[test]
    fn json_is_flat_and_has_every_name() {
        let failure = Failure::new(ErrorKind::Corrupt, "bad").path(Path::new("p")).offset(7);
        let value = failure.seq(9).advice("do").detail("more", json!(1), "more").facts.json();
        let names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        for name in ["kind", "message", "path", "offset", "seq", "last_seq", "advice", "more"] {
            assert!(names.contains(&name.to_owned()), "{name}");
        }
        assert_eq!(value["kind"], "Corrupt");
        assert_eq!(value["offset"], 7);
        assert_eq!(value["last_seq"], Value::Null);
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        assert_eq!(Failure::stdout(&io::ErrorKind::BrokenPipe.into()).code, Code::Fine);
        assert_eq!(Failure::stdout(&io::ErrorKind::StorageFull.into()).code, Code::Error);
    }
}
