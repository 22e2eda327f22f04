//! The command as its users meet it: what goes in, what comes out, and the code it ends with.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod archive;
mod compress;
#[cfg(feature = "serve")]
mod serving;
mod shortening;
mod support;
mod trouble;
#[cfg(feature = "top")]
mod watching;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::support::{PROGRAM, Place, Ran, damage, interrupt, skip};

#[test]
fn append_tells_the_seq_ids_and_cat_gives_the_lines_back() {
    let place = Place::new();
    assert_eq!(place.feed(["append", "log"], "one\n\ntwo\r\nlast").ended(0).out, "1..=4\n");
    let more = place.feed(["append", "log", "--json"], "five\n").ended(0).json();
    assert_eq!((&more["first"], &more["last"], &more["count"]), (&5.into(), &5.into(), &1.into()));
    assert_eq!(place.run(["cat", "log"]).ended(0).out, "one\n\ntwo\r\nlast\nfive\n");
}

#[test]
fn nothing_in_nothing_appended() {
    let place = Place::new();
    assert_eq!(place.feed(["append", "log"], "").ended(0).out, "nothing\n");
    let json = place.feed(["append", "log", "--json"], "").ended(0).json();
    assert_eq!((&json["first"], &json["count"]), (&Value::Null, &0.into()));
    assert_eq!(place.run(["cat", "log"]).ended(0).out, "");
    assert_eq!(place.run(["tail", "log"]).ended(0).out, "");
    assert_eq!(place.run(["cat", "log", "--reverse"]).ended(0).out, "");
}

#[test]
fn every_way_to_append_gives_the_same_log() {
    let lines: String = (0..10_000).map(|n| format!("line {n}\n")).collect();
    for args in [
        &["append", "log"][..],
        &["append", "log", "--sync", "os-cache"],
        &["append", "log", "--sync", "background"],
        &["append", "log", "--batch", "7"],
        &["append", "log", "--batch", "1"],
        &["append", "log", "--batch", "100000"],
        &["append", "log", "--batch", "64", "--separate", "--sync", "os-cache"],
        &["append", "log", "--segment-size", "4KiB", "--batch", "16"],
    ] {
        let place = Place::new();
        assert_eq!(place.feed(args, &lines).ended(0).out, "1..=10000\n", "{args:?}");
        assert!(place.run(["cat", "log"]).ended(0).out == lines, "{args:?}");
    }
}

#[test]
fn framings() {
    let place = Place::new();
    let frames = b"\0\0\0\x03a\nb\0\0\0\0";
    place.feed(["append", "frames", "--framing", "length"], frames).ended(0);
    assert_eq!(place.run(["get", "frames", "1"]).ended(0).out, "a\nb");
    assert_eq!(place.run(["get", "frames", "2"]).ended(0).out, "");
    place.feed(["append", "whole", "--framing", "whole"], "a\nb\n").ended(0);
    assert_eq!(place.run(["get", "whole", "1"]).ended(0).out, "a\nb\n");
}

#[test]
fn a_frame_that_is_cut_off_leaves_what_came_before_and_names_its_offset() {
    let place = Place::new();
    let input = b"\0\0\0\x01x\0\0\0\x01y\0\0\0\x09z";
    let args = ["append", "log", "--framing", "length"];
    let ran = place.feed(args, input).ended(1);
    assert!(ran.err.contains("byte 10"), "{ran:?}");
    assert!(ran.err.contains("appended 1..=2"), "{ran:?}");
    let error =
        place.feed(args.into_iter().chain(["--json"]), b"\xff\xff\xff\xff").ended(1).error();
    assert_eq!(error["kind"], "TooLarge");
    assert_eq!(error["offset"], 0);
    assert_eq!(error["appended"]["count"], 0);
    assert_eq!(place.run(["cat", "log"]).ended(0).out, "x\ny\n");
}

#[test]
fn cat_picks_and_turns() {
    let place = Place::with("a\nb\nc\nd\n");
    for (args, out) in [
        (&["--from", "2", "--to", "3"][..], "b\nc\n"),
        (&["--from", "5"], ""),
        (&["--to", "99"], "a\nb\nc\nd\n"),
        (&["--reverse"], "d\nc\nb\na\n"),
        (&["--reverse", "--from", "2", "--to", "3"], "c\nb\n"),
        (&["--format", "raw"], "abcd"),
        (&["--from", "4", "--format", "jsonl"], "{\"seq\":4,\"len\":1,\"payload\":\"ZA==\"}\n"),
        (&["--from", "4", "--json"], "{\"seq\":4,\"len\":1,\"payload\":\"ZA==\"}\n"),
    ] {
        let args = ["cat", "log"].into_iter().chain(args.iter().copied());
        assert_eq!(place.run(args).ended(0).out, out);
    }
    let hex = place.run(["cat", "log", "--to", "1", "--format", "hex"]).ended(0).out;
    assert!(hex.starts_with("1: 1 byte\n  00000000  61 ") && hex.ends_with("|a|\n"), "{hex:?}");
    for args in [&["--from", "6"][..], &["--from", "0"], &["--reverse", "--from", "6"]] {
        place.run(["cat", "log"].into_iter().chain(args.iter().copied())).ended(1);
    }
    place.run(["cat", "log", "--from", "3", "--to", "2"]).ended(2);
}

#[test]
fn get_gives_the_bytes_or_says_what_is_missing() {
    let place = Place::new();
    let bytes: Vec<u8> = (0..=255).collect();
    place.feed(["append", "log", "--framing", "whole"], &bytes).ended(0);
    assert_eq!(place.command(["get", "log", "1"]).output().unwrap().stdout, bytes);
    let error = place.run(["get", "log", "2", "--json"]).ended(1).error();
    assert_eq!((&error["kind"], &error["seq"]), (&"BeyondEnd".into(), &2.into()));
    place.run(["get", "log", "0"]).ended(1);
}

#[test]
fn tail_gives_the_last() {
    let place = Place::with("a\nb\nc\n");
    assert_eq!(place.run(["tail", "log", "-n", "2"]).ended(0).out, "b\nc\n");
    assert_eq!(place.run(["tail", "log"]).ended(0).out, "a\nb\nc\n");
    assert_eq!(place.run(["tail", "log", "-n", "0"]).ended(0).out, "");
}

#[test]
fn tail_follows_a_writer_and_a_cut_until_ctrl_c() {
    let place = Place::with("a\nb\n");
    let mut child = place.piped(["tail", "log", "-n", "1", "--follow"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(next(), "b");
    place.feed(["append", "log"], "c\n").ended(0);
    assert_eq!(next(), "c");
    place.run(["truncate", "log", "--back", "2", "--yes"]).ended(0);
    place.feed(["append", "log"], "d\n").ended(0);
    assert_eq!(next(), "d");
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(err.contains("the entries from 3 on were cut"), "{err}");
}

#[test]
fn tail_follows_a_silent_log_no_longer_than_its_reader() {
    let place = Place::with("a\n");
    let mut child = place.piped(["tail", "log", "--follow"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "a");
    drop(lines);
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!("it goes on");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn ctrl_c_ends_an_append_that_waits_and_what_came_before_is_durable() {
    let place = Place::new();
    let mut child = place.piped(["append", "log"]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"one\ntwo\n").unwrap();
    // Appended as it comes: it does not wait for more.
    let begun = Instant::now();
    while place.run(["cat", "log"]).out != "one\ntwo\n" {
        assert!(begun.elapsed() < Duration::from_secs(20), "it was not appended");
        std::thread::sleep(Duration::from_millis(20));
    }
    interrupt(&child);
    let ran = Ran::from(child.wait_with_output().unwrap()).ended(130);
    assert!(ran.err.contains("appended 1..=2"), "{ran:?}");
    drop(stdin);
    assert_eq!(place.run(["cat", "log"]).ended(0).out, "one\ntwo\n");
}

#[test]
fn a_second_writer_is_refused_and_told_who_has_the_log() {
    let place = Place::new();
    let mut child = place.piped(["append", "log"]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"first\n").unwrap();
    let begun = Instant::now();
    while place.run(["cat", "log"]).out != "first\n" {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    }
    for args in [
        &["append", "log", "--json"][..],
        &["truncate", "log", "--front", "1", "--yes", "--json"],
        &["retain", "log", "--max-segments", "1", "--yes", "--json"],
    ] {
        let error = place.run(args).ended(1).error();
        assert_eq!(error["kind"], "Locked");
        let pid = child.id().to_string();
        assert!(error["message"].as_str().unwrap().contains(&pid), "{error} should name {pid}");
    }
    // Only looking needs no lock.
    place.run(["truncate", "log", "--front", "1"]).ended(0);
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let lines = "a line that fills the pipe\n".repeat(20_000);
    let place = Place::with(&lines);
    for args in [&["cat", "log"][..], &["cat", "log", "--reverse"], &["tail", "log", "-n", "20000"]]
    {
        let mut child = place.piped(args);
        let mut first = [0; 10];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let ran = Ran::from(child.wait_with_output().unwrap()).ended(0);
        assert_eq!(ran.err, "", "{args:?}");
    }
}

#[test]
fn a_full_stdout_is_an_error() {
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else {
        return skip("there is no /dev/full");
    };
    let place = Place::with("a\n");
    let ran = Ran::from(place.command(["cat", "log"]).stdout(full).output().unwrap()).ended(1);
    assert!(ran.err.contains("stdout"), "{ran:?}");
}

#[test]
fn damage_is_3_after_the_sound_entries() {
    let place = Place::with("first\nsecond\nthird\n");
    // The payload of the second record: a record of n bytes takes n + 28.
    damage(&place.path().join("log"), 33 + 20 + 1);
    for args in [&["cat", "log"][..], &["tail", "log"]] {
        let ran = place.run(args).ended(3);
        assert_eq!(ran.out, "first\n");
        assert!(ran.err.contains("segment-0000.wal"), "{ran:?}");
    }
    place.run(["cat", "log", "--reverse"]).ended(3);
    assert_eq!(place.run(["get", "log", "1"]).ended(0).out, "first");
    let error = place.run(["get", "log", "2", "--json"]).ended(3).error();
    assert_eq!(
        (&error["kind"], &error["seq"], &error["offset"]),
        (&"Corrupt".into(), &2.into(), &33.into())
    );
}

#[test]
fn missing_folders_and_files_for_folders_are_errors() {
    let place = Place::new();
    fs::write(place.path().join("file"), "x").unwrap();
    for dir in ["none", "file", "file/below"] {
        for args in [
            &["cat", dir][..],
            &["tail", dir],
            &["get", dir, "1"],
            &["truncate", dir, "--front", "1"],
            &["retain", dir, "--max-segments", "1"],
        ] {
            let error = place.run(args.iter().copied().chain(["--json"])).ended(1).error();
            assert!(error["path"].as_str().unwrap().contains(dir), "{args:?}: {error}");
        }
    }
    for dir in ["file", "file/below"] {
        place.feed(["append", dir], "x\n").ended(1);
    }
    assert_eq!(fs::read(place.path().join("file")).unwrap(), b"x");
    assert!(!place.path().join("none").exists());
}

#[test]
fn arguments_that_make_no_sense_are_2() {
    let place = Place::with("a\n");
    for args in [
        &[][..],
        &["nonsense"],
        &["cat"],
        &["cat", "log", "--from", "-1"],
        &["cat", "log", "--format", "xml"],
        &["get", "log"],
        &["get", "log", "one"],
        &["append", "log", "--batch", "0"],
        &["append", "log", "--separate"],
        &["append", "log", "--segment-size", "1.5x"],
        &["append", "log", "--segment-size", "0"],
        &["append", "log", "--segment-size", "129TiB"],
        &["append", "log", "--sync", "never"],
        &["truncate", "log"],
        &["truncate", "log", "--front", "1", "--back", "1"],
        &["truncate", "log", "--reset", "0"],
        &["retain", "log"],
        &["retain", "log", "--max-age", "7"],
        &["cursor"],
        &["cursor", "set", "log", "a"],
        &["cursor", "set", "log", "a", "--at", "0"],
        &["cursor", "set", "log", "a", "--first", "--end"],
        &["cursor", "set", "log", "../a", "--first"],
        &["cursor", "remove", "log"],
        &["cursor", "remove", "log", "a", "--unreadable"],
        &["demo", "--rounds", "0"],
    ] {
        place.run(args).ended(2);
        if !args.is_empty() {
            let ran = place.run(args.iter().copied().chain(["--json"])).ended(2);
            assert_eq!(ran.error()["kind"], "Usage");
        }
    }
}

#[test]
fn help_and_version_are_not_errors() {
    let place = Place::new();
    for args in [&["--help"][..], &["-h"], &["help", "cat"], &["cat", "--help"], &["--version"]] {
        let ran = place.run(args).ended(0);
        assert!(!ran.out.is_empty() && ran.err.is_empty(), "{ran:?}");
    }
}

#[test]
fn several_logs_in_a_folder_are_told_apart() {
    let place = Place::new();
    place.feed(["append", "log", "--prefix", "a"], "in a\n").ended(0);
    assert_eq!(place.run(["cat", "log"]).ended(0).out, "in a\n");
    // The only log there is the one that is meant.
    assert_eq!(place.feed(["append", "log"], "too\n").ended(0).out, "2..=2\n");
    place.feed(["append", "log", "--prefix", "b"], "in b\n").ended(0);
    let ran = place.run(["cat", "log"]).ended(2);
    assert!(ran.err.contains("a, b"), "{ran:?}");
    place.feed(["append", "log"], "x\n").ended(2);
    assert_eq!(place.run(["cat", "log", "--prefix", "b"]).ended(0).out, "in b\n");
    let error = place.run(["cat", "log", "--prefix", "c", "--json"]).ended(1).error();
    assert_eq!(error["kind"], "NotFound");
    place.feed(["append", "log", "--prefix", "a/b"], "x\n").ended(1);
}

#[test]
#[cfg(unix)]
fn odd_names_of_folders() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let names: [&[u8]; 5] =
        [b"with space", b"quote'\"", b"new\nline", b"\xff\xfe", "\u{1b}[2J".as_bytes()];
    for name in names {
        let name = OsStr::from_bytes(name);
        place.feed([OsStr::new("append"), name], "x\n").ended(0);
        assert_eq!(place.run([OsStr::new("cat"), name]).ended(0).out, "x\n");
        let ran = place.run([OsStr::new("get"), name, OsStr::new("2")]).ended(1);
        let inner = ran.err.trim_end().replace("\n  ", "");
        assert!(!inner.chars().any(char::is_control), "{ran:?}");
        let args = [OsStr::new("get"), name, OsStr::new("2"), OsStr::new("--json")];
        place.run(args).ended(1).error();
    }
    place.feed(["append", "--", "-dash"], "x\n").ended(0);
    assert_eq!(place.run(["cat", "./-dash"]).ended(0).out, "x\n");
}

#[test]
fn reading_leaves_the_folder_as_it_is() {
    let place = Place::with_segments();
    let log = place.path().join("log");
    let state = || {
        let mut files: Vec<_> = fs::read_dir(&log)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let data = path.metadata().unwrap();
                (
                    path.clone(),
                    data.len(),
                    data.modified().unwrap(),
                    fs::read(&path).unwrap_or_default(),
                )
            })
            .collect();
        files.sort();
        files
    };
    let before = state();
    for args in [
        &["cat", "log"][..],
        &["cat", "log", "--reverse"],
        &["tail", "log"],
        &["get", "log", "50"],
        &["truncate", "log", "--front", "60"],
        &["retain", "log", "--max-segments", "1"],
        &["cursor", "list", "log"],
    ] {
        place.run(args).ended(0);
    }
    assert!(state() == before, "reading changed the folder");
}

/// A mount that nobody, root neither, can write to.
#[test]
#[cfg(target_os = "linux")]
fn a_read_only_mount_is_enough_to_read() {
    let place = Place::with("a\nb\n");
    let script = "mount --bind log log && mount -o remount,bind,ro log \
                  && ! touch log/x 2>/dev/null && echo mounted >&2 \
                  && \"$0\" cat log && \"$0\" tail log -n 1 && \"$0\" get log 1 \
                  && \"$0\" truncate log --front 2 >/dev/null; status=$?; \
                  \"$0\" append log </dev/null; echo \"append: $?\"; exit $status";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", script, PROGRAM]);
    let output = command.current_dir(place.path()).output();
    let Ok(ran) = output.map(Ran::from) else { return skip("there is no unshare") };
    if !ran.err.contains("mounted") {
        return skip("this machine gives no mount namespace");
    }
    let ran = ran.ended(0);
    assert_eq!(ran.out, "a\nb\nb\naappend: 1\n", "{ran:?}");
}

#[test]
fn the_demonstration_proves_and_cleans_up() {
    let place = Place::new();
    let args = ["demo", "--rounds", "2", "--seed", "7", "--json"];
    let mut command = place.command(args);
    let ran = Ran::from(command.env("TMPDIR", place.path()).output().unwrap()).ended(0);
    let told = ran.json();
    assert_eq!(told["seed"], 7);
    assert_eq!(told["lost"], Value::Array(vec![]));
    assert_eq!(told["rounds"].as_array().unwrap().len(), 2);
    assert!(told["acknowledged"].as_u64().unwrap() > 0);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "the folder was not removed");
}

#[test]
fn the_demonstration_keeps_a_folder_that_was_given_and_spares_one_in_use() {
    let place = Place::new();
    fs::write(place.path().join("text"), "a line\nand another\n").unwrap();
    let ran = place.run(["demo", "new", "--files", "text", "--rounds", "1"]).ended(0);
    assert!(ran.out.contains("none lost") && ran.out.contains("kept"), "{ran:?}");
    let last = place.run(["tail", "new", "-n", "1"]).ended(0).out;
    assert_eq!(last, "after the cut\n");
    place.run(["demo", "new", "--rounds", "1"]).ended(1);
    place.run(["demo", "--files", "missing", "--rounds", "1"]).ended(1);
}

/// A command that is not built in says which feature it needs.
#[test]
#[cfg(not(all(feature = "serve", feature = "top")))]
fn what_is_not_built_in() {
    let place = Place::with("a\n");
    for (name, built_in) in [("serve", cfg!(feature = "serve")), ("top", cfg!(feature = "top"))] {
        if !built_in {
            let ran = place.run([name, "log"]).ended(2);
            assert!(ran.err.contains(&format!("--features {name}")), "{ran:?}");
        }
    }
}
