//! A folder, the command run in it, and what that gave.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_walden");

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// The run, which must have ended with `code`.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// The error, as a program reads it.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let error: Value = serde_json::from_str(&self.err).expect(&self.err);
        for name in ["kind", "message", "path", "offset", "seq", "last_seq", "advice"] {
            assert!(error.get(name).is_some(), "{name} is not in {error}");
        }
        error
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).expect(&self.out)
    }
}

/// A folder with room for logs.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// With a log of these lines in `log`.
    pub(crate) fn with(lines: &str) -> Self {
        let place = Self::new();
        place.feed(["append", "log"], lines).ended(0);
        place
    }

    /// With a log of 100 entries in small segments.
    pub(crate) fn with_segments() -> Self {
        let place = Self::new();
        let lines: String = (1..=100).map(|n| format!("entry {n} of a log\n")).collect();
        place.feed(["append", "log", "--segment-size", "1KiB"], &lines).ended(0);
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn command(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(args).current_dir(self.path()).stdin(Stdio::null()).env("NO_COLOR", "1");
        command
    }

    pub(crate) fn run(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
        self.command(args).output().unwrap().into()
    }

    /// Runs with `input` on stdin.
    pub(crate) fn feed(
        &self,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        input: impl AsRef<[u8]>,
    ) -> Ran {
        let mut child = self.piped(args);
        let mut stdin = child.stdin.take().unwrap();
        let input = input.as_ref().to_vec();
        // It may end without reading all.
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let ran = child.wait_with_output().unwrap().into();
        drop(writer.join().unwrap());
        ran
    }

    pub(crate) fn piped(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Child {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }
}

pub(crate) fn interrupt(child: &Child) {
    let done = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(done.success());
}

/// Turns a byte of the first segment's record over.
pub(crate) fn damage(log: &Path, offset: usize) {
    let path = log.join("segment-0000.wal");
    let mut bytes = fs::read(&path).unwrap();
    bytes[offset] ^= 0xff;
    fs::write(&path, bytes).unwrap();
}

/// Passes, and says why; fails where nothing may be skipped.
#[expect(clippy::print_stdout, reason = "a test that skips says so")]
pub(crate) fn skip(reason: &str) {
    let strict = std::env::var_os("WALDEN_NO_SKIP").is_some_and(|value| value == "1");
    assert!(!strict, "WALDEN_NO_SKIP=1, and a test would be skipped: {reason}");
    println!("skipped: {reason}");
}
