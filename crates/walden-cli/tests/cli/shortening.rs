//! What shortens a log, or keeps it from being shortened: cuts, retention, cursors.

use std::fs;

use super::support::Place;

#[test]
fn truncate_shows_first_and_acts_when_told() {
    let place = Place::with_segments();
    let before = place.run(["cat", "log"]).out;
    let ran = place.run(["truncate", "log", "--front", "60"]).ended(0);
    assert!(ran.out.contains("nothing was changed; add --yes"), "{ran:?}");
    assert!(ran.out.contains("1..=59") && ran.out.contains("segment-0000.wal"), "{ran:?}");
    assert_eq!(place.run(["cat", "log"]).out, before);
    let plan = place.run(["truncate", "log", "--front", "60", "--json"]).ended(0).json();
    let done = place.run(["truncate", "log", "--front", "60", "--json", "--yes"]).ended(0).json();
    assert_eq!((&plan["changed"], &done["changed"]), (&false.into(), &true.into()));
    assert_eq!(plan["segments"], done["segments"]);
    for segment in done["segments"].as_array().unwrap() {
        let path = place.path().join(segment["path"].as_str().unwrap());
        assert_eq!(path.exists(), segment["whole"] == false, "{segment}");
    }
    place.run(["truncate", "log", "--back", "61", "--yes"]).ended(0);
    let left = "entry 60 of a log\nentry 61 of a log\n";
    assert_eq!(place.run(["cat", "log"]).ended(0).out, left);
    place.run(["truncate", "log", "--reset", "1000", "--yes"]).ended(0);
    assert_eq!(place.feed(["append", "log"], "new\n").ended(0).out, "1000..=1000\n");
    assert_eq!(
        place.run(["truncate", "log", "--front", "9999", "--json"]).ended(1).error()["kind"],
        "OutOfRange"
    );
    assert_eq!(place.run(["truncate", "log", "--back", "5"]).ended(1).out, "");
}

#[test]
fn retain_shows_first_and_acts_when_told() {
    let place = Place::with_segments();
    let args = ["retain", "log", "--max-segments", "2"];
    let ran = place.run(args).ended(0);
    assert!(ran.out.contains("nothing was changed; add --yes"), "{ran:?}");
    assert_eq!(place.run(["cat", "log"]).out.lines().count(), 100);
    let done = place.run(args.into_iter().chain(["--yes", "--json"])).ended(0).json();
    let first = done["first_seq"].as_u64().unwrap();
    assert!(first > 1, "{done}");
    let left = place.run(["cat", "log"]).ended(0).out;
    assert!(left.starts_with(&format!("entry {first} of")), "{left}");
    let ran = place.run(["retain", "log", "--max-age", "1d", "--yes"]).ended(0);
    assert!(ran.out.contains("no entries went"), "{ran:?}");
}

#[test]
fn cursors_are_shown_set_and_removed() {
    let place = Place::with_segments();
    assert_eq!(place.run(["cursor", "list", "log"]).ended(0).out, "no cursors\n");
    let made = place.run(["cursor", "set", "log", "mailer", "--at", "40"]).ended(0);
    assert_eq!(made.out, "mailer made: 40 comes next\n");
    place.run(["cursor", "set", "log", "index", "--end"]).ended(0);
    let ran = place.run(["cursor", "list", "log"]).ended(0);
    let rows: Vec<Vec<&str>> =
        ran.out.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [["index", "101", "0", "good"], ["mailer", "40", "61", "good"]]);
    // What is planned and what is done stop at the cursor.
    let args = ["retain", "log", "--max-segments", "1", "--json"];
    let plan = place.run(args).ended(0).json();
    let done = place.run(args.into_iter().chain(["--yes"])).ended(0).json();
    assert_eq!(plan["first_seq"], done["first_seq"]);
    let first = done["first_seq"].as_u64().unwrap();
    assert!((2..=40).contains(&first), "{done}");
    let ran = place.run(["cat", "log"]).ended(0).out;
    assert!(ran.starts_with(&format!("entry {first} of")), "{ran}");
    let moved = place.run(["cursor", "set", "log", "mailer", "--first", "--json"]).ended(0).json();
    assert_eq!((&moved["position"], &moved["made"]), (&first.into(), &false.into()));
    let outside = place.run(["cursor", "set", "log", "mailer", "--at", "999", "--json"]).ended(1);
    assert_eq!(outside.error()["kind"], "BeyondEnd");
    place.run(["truncate", "log", "--front", "90", "--yes"]).ended(0);
    let list = place.run(["cursor", "list", "log", "--json"]).ended(0).json();
    assert_eq!(list["cursors"][1]["problem"], "Removed");
    assert!(place.run(["inspect", "log"]).ended(0).out.contains("index at 101, mailer at"));
    place.run(["cursor", "remove", "log", "mailer"]).ended(0);
    let again = place.run(["cursor", "remove", "log", "mailer", "--json"]).ended(1);
    assert_eq!(again.error()["kind"], "NotFound");
    // Those that are damaged.
    let lines = "another line of the log\n".repeat(60);
    place.feed(["append", "log", "--segment-size", "1KiB"], lines).ended(0);
    let file = place.path().join("log/segment.cursors");
    let len = fs::metadata(&file).unwrap().len();
    fs::write(&file, vec![7; usize::try_from(len).unwrap()]).unwrap();
    assert!(place.run(["cursor", "list", "log"]).ended(3).out.contains("neither slot"));
    let ran = place.run(["verify", "log"]).ended(3).out;
    assert!(ran.contains("next: walden cursor remove log --unreadable"), "{ran}");
    place.run(["retain", "log", "--max-segments", "1", "--yes"]).ended(3);
    place.run(["cursor", "remove", "log", "--unreadable"]).ended(0);
    place.run(["verify", "log"]).ended(0);
    assert_eq!(place.run(["cursor", "list", "log"]).ended(0).out, "no cursors\n");
    place.run(["retain", "log", "--max-segments", "1", "--yes"]).ended(0);
}

#[test]
fn commands_that_cut_make_no_log() {
    let place = Place::new();
    fs::create_dir(place.path().join("empty")).unwrap();
    for args in [
        &["truncate", "empty", "--front", "1", "--yes"][..],
        &["retain", "empty", "--max-segments", "1", "--yes", "--prefix", "segment"],
        &["cursor", "set", "empty", "a", "--first", "--prefix", "segment"],
        &["cursor", "remove", "empty", "a"],
        &["cursor", "list", "empty"],
        &["cat", "empty"],
        &["tail", "empty", "--follow"],
    ] {
        let ran = place.run(args.iter().copied().chain(["--json"])).ended(1);
        assert_eq!(ran.error()["kind"], "NotFound");
    }
    assert_eq!(fs::read_dir(place.path().join("empty")).unwrap().count(), 0);
}
