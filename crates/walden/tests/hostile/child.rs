//! Tests that run in a process of their own: with little memory, or as somebody else.

use std::path::Path;
use std::process::{Command, Output};

const CHILD: &str = "WALDEN_TEST_CHILD";

/// What the child is to work on, if this is one.
pub(crate) fn argument() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// The test `name` of this binary, by way of a shell that says `before` first.
pub(crate) fn command(name: &str, before: &str, argument: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{before}\nexec \"$0\" --exact {name} --nocapture --test-threads 1"))
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, argument)
        .env("RUST_BACKTRACE", "0");
    command
}

#[track_caller]
pub(crate) fn passed(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert!(out.contains("1 passed"), "the child ran no test\n{out}\n{err}");
}

/// Says why a test does nothing here, or fails where that is not wanted.
#[expect(clippy::print_stdout, reason = "a test that skips says so")]
pub(crate) fn skipped(reason: &str) {
    let strict = std::env::var_os("WALDEN_NO_SKIP").is_some_and(|value| value == "1");
    assert!(!strict, "WALDEN_NO_SKIP=1, and a test would be skipped: {reason}");
    println!("skipped: {reason}");
}
