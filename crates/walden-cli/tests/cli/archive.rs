//! Archives from the shell, and repair from another log.

use std::fs;

use crate::support::{Place, damage};

#[cfg(not(feature = "archive"))]
#[test]
fn a_build_without_archives_says_how_to_get_one() {
    let place = Place::with("a\nb\n");
    let commands: [&[&str]; 4] = [
        &["archive", "log", "bucket"],
        &["restore", "bucket", "other"],
        &["archive-verify", "bucket"],
        &["repair", "log", "--from", "file:///bucket"],
    ];
    for command in commands {
        let ran = place.run(command).ended(2);
        assert!(ran.err.contains("--features archive"), "{}", ran.err);
        assert_eq!(ran.err.lines().count(), 2, "{}", ran.err);
    }
    assert!(!place.path().join("bucket").exists() && !place.path().join("other").exists());
}

#[test]
fn a_round_without_a_pause_and_a_cursor_without_a_name_are_refused() {
    let place = Place::with("a\n");
    place.run(["archive", "log", "bucket", "--hold", "two words"]).ended(2);
    let ran = place.run(["archive", "log", "bucket", "--every", "0s"]).ended(2);
    assert!(ran.err.contains("at least 1s"), "{}", ran.err);
}

#[test]
fn repair_from_a_copy() {
    let place = Place::with_segments();
    place.run(["copy", "log", "other"]).ended(0);
    let sound = place.run(["cat", "log"]).ended(0).out;
    damage(&place.path().join("log"), 25);
    let plan = place.run(["repair", "log", "--from", "other"]).ended(3);
    assert!(plan.out.contains("can be put back"), "{}", plan.out);
    let plan = place.run(["repair", "log", "--from", "other", "--json"]).ended(3).json();
    assert_eq!(plan["splices"][0]["lost"][0][0], 1);
    place.run(["verify", "log"]).ended(3);
    let done = place.run(["repair", "log", "--from", "other", "--yes"]).ended(0);
    assert!(done.out.contains("put seq ids 1..="), "{}", done.out);
    place.run(["verify", "log"]).ended(0);
    assert_eq!(place.run(["cat", "log"]).ended(0).out, sound);
    place.run(["repair", "log", "--from", "other"]).ended(0);
    place.run(["repair", "log", "--from", "nowhere"]).ended(1);
    place.run(["repair", "log", "--from", "other", "--cut-at", "3"]).ended(2);
    assert!(fs::read_dir(place.path().join("log/segment.quarantine")).unwrap().count() == 1);
}

#[cfg(feature = "archive")]
mod with_it {
    use super::*;

    #[test]
    fn from_a_log_to_a_folder_and_back() {
        let place = Place::with_segments();
        let sound = place.run(["cat", "log"]).ended(0).out;
        let shipped = place.run(["archive", "log", "bucket", "--tail", "--json"]).ended(0).json();
        assert_eq!((&shipped["entries"], &shipped["next_seq"]), (&100.into(), &101.into()));
        let verified = place.run(["archive-verify", "bucket", "--json"]).ended(0).json();
        assert_eq!(verified["next_seq"], 101);
        place.run(["restore", "bucket", "other"]).ended(0);
        assert_eq!(place.run(["cat", "other"]).ended(0).out, sound);
        let some = place.run(["restore", "bucket", "some", "--to-seq", "7"]).ended(0);
        assert!(some.out.contains("seq ids 1..=7"), "{}", some.out);
        place.run(["restore", "bucket", "some"]).ended(0);
        assert_eq!(place.run(["cat", "some"]).ended(0).out, sound);
        let url = format!("file://{}/bucket", place.path().display());
        place.run(["restore", &url, "by-url"]).ended(0);
        // It goes on, with the log open for writing and retention held back.
        place.feed(["append", "log"], "one more\n").ended(0);
        let held = ["archive", "log", "bucket", "--tail", "--hold", "archive", "--sweep"];
        let more = place.run(held).ended(0);
        assert!(more.out.contains("shipped 1 entries"), "{}", more.out);
        let cursors = place.run(["cursor", "list", "log", "--json"]).ended(0);
        assert!(cursors.out.contains("archive") && cursors.out.contains("102"), "{}", cursors.out);
    }

    #[test]
    fn holding_a_log_that_is_not_there_makes_none() {
        let place = Place::with("a\n");
        fs::create_dir(place.path().join("empty")).unwrap();
        for log in ["log", "empty", "nowhere"] {
            let args = ["archive", log, "bucket", "--hold", "archive", "--prefix", "other"];
            place.run(args).ended(1);
        }
        assert!(!place.path().join("log/other.manifest").exists());
        assert_eq!(fs::read_dir(place.path().join("empty")).unwrap().count(), 0);
        assert!(!place.path().join("nowhere").exists());
    }

    #[test]
    fn damage_is_3_and_named() {
        let place = Place::with_segments();
        place.run(["archive", "log", "bucket", "--tail", "--object-size", "1KiB"]).ended(0);
        let chunks = place.path().join("bucket/chunks");
        let mut files: Vec<_> =
            fs::read_dir(chunks).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        fs::remove_file(&files[1]).unwrap();
        let name = files[1].file_name().unwrap().to_str().unwrap();
        for command in [&["archive-verify", "bucket"][..], &["archive-verify", "bucket", "--quick"]]
        {
            let found = place.run(command).ended(3);
            assert!(found.out.contains(name), "{}", found.out);
        }
        let restored = place.run(["restore", "bucket", "other", "--json"]).ended(3);
        assert!(restored.error()["message"].as_str().unwrap().contains(name));
    }

    #[test]
    fn a_dictionary_that_is_unsound_is_named_and_put_back() {
        let place = Place::new();
        let line = |i: usize| {
            let order = i.wrapping_mul(2_654_435_761) % 100_000;
            format!(
                "{{\"level\":\"info\",\"service\":\"orders\",\"path\":\"/api/v2/orders/{order}\",\"status\":200}}\n"
            )
        };
        let args =
            ["append", "log", "--segment-size", "16KiB", "--batch", "1", "--sync", "os-cache"];
        place.feed(args, (0..2000).map(line).collect::<String>()).ended(0);
        place.run(["dictionary", "train", "log", "--size", "8KiB"]).ended(0);
        place.run(["compress", "log", "--dictionary"]).ended(0);
        place.run(["archive", "log", "bucket", "--tail"]).ended(0);
        let verified = place.run(["archive-verify", "bucket", "--json"]).ended(0).json();
        assert_eq!(verified["dictionaries"], 1);
        let mut files = fs::read_dir(place.path().join("bucket/dictionaries")).unwrap();
        let file = files.next().unwrap().unwrap().path();
        fs::write(&file, "half").unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        let found = place.run(["archive-verify", "bucket"]).ended(3);
        assert!(found.out.contains(name), "{}", found.out);
        place.run(["restore", "bucket", "other"]).ended(3);
        place.feed(["append", "log"], "one more\n").ended(0);
        place.run(["archive", "log", "bucket", "--tail"]).ended(0);
        place.run(["archive-verify", "bucket"]).ended(0);
        place.run(["restore", "bucket", "other"]).ended(0);
        let both = ["log", "other"].map(|log| place.run(["cat", log]).ended(0).out);
        assert_eq!(both[0], both[1]);
    }

    #[test]
    fn a_log_is_repaired_from_its_archive() {
        let place = Place::with_segments();
        let sound = place.run(["cat", "log"]).ended(0).out;
        place.run(["archive", "log", "bucket", "--tail"]).ended(0);
        damage(&place.path().join("log"), 25);
        let url = format!("file://{}/bucket", place.path().display());
        place.run(["repair", "log", "--from", &url, "--yes"]).ended(0);
        place.run(["verify", "log"]).ended(0);
        assert_eq!(place.run(["cat", "log"]).ended(0).out, sound);
    }

    #[test]
    fn bad_arguments_are_2_and_one_line() {
        let place = Place::with("a\n");
        let commands: [&[&str]; 6] = [
            &["archive", "log", "ftp://host/x"],
            &["archive", "log", "bucket", "--object-size", "0"],
            &["archive", "log", "bucket", "--bandwidth", "0"],
            &["archive", "log", "bucket", "--set", "nonsense"],
            &["restore", "bucket", "other", "--to-time", "yesterday"],
            &["archive", "log", "s3:///"],
        ];
        for command in commands {
            place.run(command).ended(2);
        }
        place.run(["restore", "nowhere", "other"]).ended(1);
        place.run(["archive-verify", "nowhere"]).ended(1);
        assert!(!place.path().join("other").exists());
    }

    #[test]
    fn two_archivers_on_one_place() {
        let place = Place::with("a\nb\n");
        place.run(["archive", "log", "bucket", "--tail"]).ended(0);
        // Another log is not of that history.
        place.feed(["append", "stranger"], "x\ny\nz\n").ended(0);
        let refused = place.run(["archive", "stranger", "bucket", "--tail", "--json"]).ended(1);
        assert_eq!(refused.error()["kind"], "Diverged");
        place.run(["archive-verify", "bucket"]).ended(0);
    }
}
