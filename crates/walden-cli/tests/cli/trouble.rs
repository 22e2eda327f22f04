//! What stands in the way: it is said at the right place, and nothing is left behind.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::{PROGRAM, Place, Ran, damage};

#[test]
fn a_line_that_is_not_whole_yet_holds_nothing_back() {
    for (framing, input, rest) in [
        ("lines", &b"one\ntwo\nth"[..], &b"ree\n"[..]),
        ("length", b"\0\0\0\x03one\0\0\0\x03two\0\0\0\x05th", b"ree"),
    ] {
        let place = Place::new();
        let mut child = place.piped(["append", "log", "--framing", framing]);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input).unwrap();
        let begun = Instant::now();
        while place.run(["cat", "log"]).out != "one\ntwo\n" {
            assert!(begun.elapsed() < Duration::from_secs(20), "{framing}: it was not appended");
            std::thread::sleep(Duration::from_millis(20));
        }
        stdin.write_all(rest).unwrap();
        drop(stdin);
        assert_eq!(Ran::from(child.wait_with_output().unwrap()).ended(0).out, "1..=3\n");
        assert_eq!(place.run(["cat", "log"]).ended(0).out, "one\ntwo\nthree\n");
    }
}

/// As where `--from` lies before the first entry: what was cut off is not an empty log.
#[test]
fn an_end_before_the_first_entry_is_an_error() {
    let place = Place::with("a\nb\nc\n");
    place.run(["truncate", "log", "--front", "3", "--yes"]).ended(0);
    for args in [&["cat", "log", "--to", "2", "--json"][..], &["cat", "log", "--to", "0", "--json"]]
    {
        assert_eq!(place.run(args).ended(1).error()["kind"], "Removed");
        let args = args.iter().chain(&["--reverse"]);
        assert_eq!(place.run(args).ended(1).error()["kind"], "Removed");
    }
    assert_eq!(place.run(["cat", "log", "--to", "3"]).ended(0).out, "c\n");
}

#[test]
fn a_folder_without_a_log_is_named_and_left_empty() {
    let place = Place::with("a\n");
    fs::create_dir(place.path().join("empty")).unwrap();
    for args in [
        &["adopt", "empty", "--json"][..],
        &["repair", "empty", "--yes", "--json"],
        &["repair", "empty", "--from", "log", "--yes", "--json"],
        &["compress", "empty", "--json"],
        &["dictionary", "train", "empty", "--json"],
        &["dictionary", "prune", "empty", "--json"],
        &["copy", "empty", "out", "--json"],
        &["salvage", "empty", "out", "--json"],
    ] {
        let error = place.run(args).ended(1).error();
        assert_eq!((&error["kind"], &error["path"]), (&"NotFound".into(), &"empty".into()));
        assert_eq!(fs::read_dir(place.path().join("empty")).unwrap().count(), 0, "{args:?}");
        assert!(!place.path().join("out").exists(), "{args:?}");
    }
}

#[test]
fn a_copy_that_cannot_be_made_says_what_can_be_done() {
    let place = Place::with("a\nb\nc\n");
    fs::create_dir(place.path().join("full")).unwrap();
    fs::write(place.path().join("full/file"), "").unwrap();
    for command in ["copy", "salvage"] {
        let error = place.run([command, "log", "full", "--json"]).ended(1).error();
        assert!(error["advice"].as_str().unwrap().contains("name another one"), "{error}");
    }
    damage(&place.path().join("log"), 30);
    let error = place.run(["copy", "log", "out", "--json"]).ended(3).error();
    assert!(error["advice"].as_str().unwrap().contains("cp -a"), "{error}");
}

#[test]
fn what_was_cut_in_front_gives_a_salvaged_log_no_name() {
    let place = Place::with("a\nb\nc\n");
    place.run(["truncate", "log", "--front", "3", "--yes"]).ended(0);
    place.run(["salvage", "log", "saved"]).ended(0);
    assert_eq!(place.run(["cat", "saved/run-3"]).ended(0).out, "c\n");
}

#[test]
fn repairing_what_is_sound_claims_no_repair() {
    let place = Place::with("a\n");
    let text = place.run(["repair", "log", "--yes"]).ended(0).out;
    assert_eq!(text, "nothing to repair; next: walden verify log\n");
}

/// The names of files are input: a command to be copied from a message is one command.
#[test]
fn a_prefix_is_one_word_in_the_commands_that_are_shown() {
    let place = Place::new();
    for prefix in ["a; touch owned", "-x", "it's"] {
        let log = prefix.replace(' ', "_");
        let prefix = format!("--prefix={prefix}");
        place.feed(["append", &format!("./{log}"), &prefix], "one\ntwo\n").ended(0);
        let file = place.path().join(&log).join(format!("{}-0000.wal", &prefix[9..]));
        let mut bytes = fs::read(&file).unwrap();
        bytes[22] ^= 1;
        fs::write(&file, bytes).unwrap();
        let verified = place.run(["verify", &format!("./{log}"), "--json"]).ended(3).json();
        let next = verified["findings"][0]["next_command"].as_str().unwrap();
        let next = next.strip_prefix("walden ").unwrap();
        let script = format!("'{PROGRAM}' {next}");
        let ran = Command::new("sh").args(["-c", &script]).current_dir(place.path()).output();
        let ran = Ran::from(ran.unwrap()).ended(3);
        assert!(ran.out.contains("nothing was changed"), "{ran:?}");
        assert!(!place.path().join("owned").exists());
    }
}

/// What `--yes` would do, or why not, is told without it.
#[test]
fn a_choice_is_shown_or_refused_before_it_is_made() {
    let place = Place::with("a\nb\nc\n");
    for more in [&["--json"][..], &["--json", "--yes"]] {
        let repair = |choice: [&str; 2]| {
            let args = ["repair", "log"].into_iter().chain(choice).chain(more.iter().copied());
            place.run(args).ended(1).error()
        };
        let cut = repair(["--cut-at", "2"]);
        assert_eq!(cut["kind"], "InvalidInput");
        assert!(cut["advice"].as_str().unwrap().contains("walden truncate log --back 1"), "{cut}");
        repair(["--accept-loss", "1..=2"]);
        repair(["--first-seq", "2"]);
    }
    assert_eq!(place.run(["cat", "log"]).ended(0).out, "a\nb\nc\n");
    let place = Place::with_segments();
    damage(&place.path().join("log"), 25);
    let plan = place.run(["repair", "log", "--cut-at", "40", "--json"]).ended(3).json();
    assert!(plan["chosen"].as_str().unwrap().contains("before seq id 40: 61 sound"), "{plan}");
    let plan = place.run(["repair", "log", "--cut-at", "40"]).ended(3);
    assert!(plan.out.contains("your choice: cuts the log"), "{plan:?}");
    assert_eq!(place.run(["repair", "log", "--json"]).ended(3).json()["chosen"], Value::Null);
    place.run(["repair", "log", "--cut-at", "400"]).ended(1);
}

#[test]
fn what_changed_nothing_says_so() {
    let place = Place::with("a\nb\n");
    for args in [
        &["repair", "log", "--yes", "--json"][..],
        &["truncate", "log", "--front", "1", "--yes", "--json"],
        &["retain", "log", "--max-segments", "9", "--yes", "--json"],
    ] {
        assert_eq!(place.run(args).ended(0).json()["changed"], false, "{args:?}");
    }
    let done = place.run(["truncate", "log", "--front", "2", "--yes", "--json"]).ended(0).json();
    assert_eq!(done["changed"], true);
}

#[test]
fn a_folder_with_an_unusual_name_is_named_without_steering_the_terminal() {
    let place = Place::new();
    place.feed(["append", "l\u{1b}[2Jog"], "a\n").ended(0);
    let ran = place.run(["repair", "l\u{1b}[2Jog", "--yes"]).ended(0);
    assert!(ran.out.contains("next: ") && !ran.out.contains('\u{1b}'), "{ran:?}");
}

#[test]
fn repair_takes_a_path_that_is_no_text() {
    let place = Place::with_segments();
    place.run(["copy", "log", "other"]).ended(0);
    let odd = OsStr::from_bytes(b"oth\xffer");
    fs::rename(place.path().join("other"), place.path().join(odd)).unwrap();
    damage(&place.path().join("log"), 25);
    let args = ["repair", "log", "--yes", "--from"].map(OsStr::new);
    place.run(args.into_iter().chain([odd])).ended(0);
    place.run(["verify", "log"]).ended(0);
}
