//! `walden top` in a terminal of its own, which a program of Python holds, and where there is no terminal.

use std::fs;
use std::io::Read;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{PROGRAM, Place, Ran, skip};

const HOSTILE: &[u8] = b"before\x1b]0;owned\x07\x1b[2Jafter";
const HARMLESS: &str = "before\\u{1b}]0;owned\\u{7}\\u{1b}[2Jafter";

/// A log with a payload that would steer the terminal.
fn hostile() -> Place {
    let place = Place::with("a\nb\n");
    place.feed(["append", "log", "--framing", "whole"], HOSTILE).ended(0);
    place
}

/// What came of `walden top` in a terminal in which these steps are done; `None` where there is no Python.
fn in_terminal(place: &Place, variables: &[(&str, &str)], steps: &Value) -> Option<Value> {
    let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/terminal.py");
    let mut command = Command::new("python3");
    command.args([driver, &steps.to_string(), PROGRAM, "top", "log", "--every", "100ms"]);
    command.current_dir(place.path()).env("TERM", "xterm-256color").env_remove("NO_COLOR");
    command.env("PYTHONDONTWRITEBYTECODE", "1").envs(variables.iter().copied());
    let Ok(output) = command.output() else {
        skip("python3 is not here");
        return None;
    };
    let ran = Ran::from(output).ended(0);
    Some(ran.json())
}

/// The terminal is as it was, and the program ended with `code`.
#[track_caller]
fn restored(ended: &Value, code: i32) {
    assert_eq!(ended["code"], code, "{ended}");
    assert_eq!(ended["alternate"], false, "{ended}");
    assert_eq!(ended["cursor"], true, "{ended}");
    assert_eq!(ended["restored"], true, "the terminal's settings are others: {ended}");
    let raw = ended["raw"].as_str().unwrap();
    assert!(
        raw.contains("\x1b[?1049h") && raw.contains("\x1b[?25l"),
        "it was never taken: {ended}"
    );
    // What is in the log is there, and does nothing.
    assert!(!raw.contains("\x1b]") && !raw.contains('\x07'), "{ended}");
}

#[test]
fn keys_sizes_and_a_writer() {
    let place = hostile();
    let steps = json!([
        { "see": "3; first 1, last 3, next 4" },
        { "see": HARMLESS },
        { "see": "sealed ▒ open" },
        { "type": "?" },
        { "see": "Nothing is locked" },
        { "type": "x" },
        { "run": [PROGRAM, "append", "log"], "input": "written beside it\n" },
        { "see": "written beside it" },
        { "type": " " },
        { "see": "PAUSED" },
        { "type": " " },
        { "resize": [40, 10] },
        // Broken into lines as the narrow page has it.
        { "see": "            was checked" },
        { "type": "\x1b[F" },
        { "see": "1..=4" },
        { "resize": [200, 60] },
        { "see": "4; first 1, last 4, next 5" },
        { "type": "q" },
    ]);
    let Some(ended) = in_terminal(&place, &[], &steps) else { return };
    restored(&ended, 0);
    assert!(ended["raw"].as_str().unwrap().contains("\x1b[38;5;"), "no colour: {ended}");
    // Nothing was locked and nothing left behind.
    place.run(["verify", "log"]).ended(0);
}

#[test]
fn each_way_to_end_it_puts_the_terminal_back() {
    let place = hostile();
    let ends = [
        (json!({ "type": "\x1b" }), 0),
        (json!({ "type": "\x03" }), 130),
        (json!({ "signal": 2 }), 130),
        // Ended by the signal, as its parent sees.
        (json!({ "signal": 15 }), -15),
    ];
    for (end, code) in ends {
        let steps = json!([{ "see": HARMLESS }, end]);
        let Some(ended) = in_terminal(&place, &[("NO_COLOR", "1")], &steps) else { return };
        restored(&ended, code);
        let raw = ended["raw"].as_str().unwrap();
        assert!(!raw.contains("\x1b[38;") && !raw.contains("\x1b[48;"), "a colour: {ended}");
    }
    // The terminal goes away: so does the program.
    let steps = json!([{ "see": HARMLESS }, { "hang_up": true }]);
    let Some(ended) = in_terminal(&place, &[], &steps) else { return };
    assert_eq!(ended["code"], -1, "{ended}");
}

#[test]
fn a_log_that_goes_while_it_is_shown() {
    let place = hostile();
    let steps = json!([
        { "see": HARMLESS },
        { "run": ["mv", "log", "away"] },
        { "see": "UNREADABLE" },
        { "see": "cannot be read: " },
        { "run": ["mv", "away", "log"] },
        { "see": "can be read" },
        { "type": "c" },
        { "see": "no damage in 3 records" },
        { "type": "q" },
    ]);
    let Some(ended) = in_terminal(&place, &[], &steps) else { return };
    restored(&ended, 0);
}

#[test]
fn without_a_terminal() {
    let place = hostile();
    let ran = place.run(["top", "log"]).ended(2);
    assert!(ran.out.is_empty() && ran.err.contains("--once"), "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    let ran = place.run(["top", "log", "--once"]).ended(0);
    assert!(ran.out.contains("Entries    3; first 1, last 3, next 4\n"), "{ran:?}");
    assert!(ran.out.contains(HARMLESS), "{ran:?}");
    assert!(!ran.out.chars().any(|c| c.is_control() && c != '\n'), "{ran:?}");
    // Nobody reads it.
    let mut child = place.piped(["top", "log", "--once"]);
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn what_cannot_be_shown() {
    let place = hostile();
    fs::create_dir(place.path().join("empty")).unwrap();
    fs::write(place.path().join("file"), "x").unwrap();
    for dir in ["none", "empty", "file"] {
        let ran = place.run(["top", dir, "--once"]).ended(1);
        assert!(ran.err.contains(dir), "{ran:?}");
    }
    for args in [&["--every", "0s"][..], &["--every", "2h"], &["--every", "soon"], &["--json"]] {
        place.run(["top", "log", "--once"].iter().chain(args)).ended(2);
    }
    fs::write(place.path().join("log/segment.manifest"), "nonsense").unwrap();
    let ran = place.run(["top", "log", "--once"]).ended(3);
    assert!(ran.out.contains("cannot be read: "), "{ran:?}");
}
