//! Compressing a log, and the dictionaries for it.

use std::fs;

use serde_json::Value;

use super::support::{Place, damage};

fn lines(count: usize) -> String {
    let line = |i: usize| {
        let mixed = i.wrapping_mul(2_654_435_761) % 100_000;
        format!(
            "{{\"level\":\"info\",\"service\":\"orders\",\"path\":\"/api/v2/orders/{mixed}\",\"status\":200}}\n"
        )
    };
    (0..count).map(line).collect()
}

/// A log of many segments, nothing in it compressed, one entry a record.
fn place() -> Place {
    let place = Place::new();
    let args = ["append", "log", "--segment-size", "16KiB", "--batch", "1", "--sync", "os-cache"];
    place.feed(args, lines(2000)).ended(0);
    place
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap()
}

#[test]
fn compressed_and_back() {
    let place = place();
    let before = place.run(["cat", "log"]).ended(0).out;
    let sizes = || -> u64 {
        let files =
            fs::read_dir(place.path().join("log")).unwrap().map(|file| file.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|e| e == "wal"))
            .map(|path| path.metadata().unwrap().len())
            .sum()
    };
    let plain = sizes();
    let trained =
        place.run(["dictionary", "train", "log", "--size", "8KiB", "--json"]).ended(0).json();
    assert!(number(&trained, "samples") == 2000 && number(&trained, "bytes") <= 8192);
    let text = place.run(["compress", "log", "--dictionary"]).ended(0).out;
    assert!(text.contains("a ratio of ") && text.contains("records are compressed"), "{text}");
    assert!(sizes() * 3 < plain * 2, "{} of {plain}", sizes());
    assert!(place.run(["compress", "log", "--dictionary"]).ended(0).out.contains("nothing to do"));
    assert_eq!(place.run(["cat", "log"]).ended(0).out, before);
    place.run(["verify", "log"]).ended(0);
    let list = place.run(["dictionary", "list", "log", "--json"]).ended(0).json();
    let only = &list["dictionaries"][0];
    assert!(number(only, "records") > 1000 && only["newest"] == true, "{list}");
    assert_eq!(number(only, "id"), number(&trained, "id"));
    assert!(place.run(["dictionary", "list", "log"]).ended(0).out.contains("written with"));
    let done = place.run(["compress", "log", "--codec", "none", "--json"]).ended(0).json();
    assert!(number(&done, "rewritten") > 10 && number(&done, "compressed") == 0, "{done}");
    assert_eq!((sizes(), place.run(["cat", "log"]).ended(0).out), (plain, before));
}

#[test]
fn a_dictionary_that_is_gone_is_told() {
    let place = place();
    let trained = place.run(["dictionary", "train", "log", "--json"]).ended(0).json();
    place.run(["compress", "log", "--dictionary"]).ended(0);
    place.run(["dictionary", "prune", "log"]).ended(0);
    let file = place.path().join(trained["path"].as_str().unwrap());
    fs::rename(&file, place.path().join("aside")).unwrap();
    let error = place.run(["get", "log", "1", "--json"]).ended(1).error();
    assert_eq!(
        (&error["kind"], &error["path"]),
        (&"MissingDictionary".into(), &trained["path"]),
        "{error}"
    );
    assert!(error["advice"].as_str().unwrap().contains("put the file back"));
    let verified = place.run(["verify", "log"]).ended(3);
    assert!(
        verified.out.contains("records need it") || verified.err.contains("records need it"),
        "{verified:?}"
    );
    assert!(verified.out.contains("put the file back"), "{verified:?}");
    assert!(verified.out.contains("; next: walden dictionary list log"), "{verified:?}");
    assert!(place.run(["inspect", "log"]).ended(3).out.contains("records need it"));
    assert!(place.run(["dictionary", "list", "log"]).ended(3).out.contains("missing"));
    let refused = place.run(["compress", "log", "--codec", "none", "--json"]).ended(1).error();
    assert_eq!(refused["kind"], "MissingDictionary");
    fs::rename(place.path().join("aside"), &file).unwrap();
    place.run(["compress", "log", "--codec", "none"]).ended(0);
    place.run(["verify", "log"]).ended(0);
    assert_eq!(place.run(["cat", "log"]).ended(0).out, lines(2000));
}

#[test]
fn what_makes_no_sense_is_a_line_and_2() {
    let place = place();
    for args in [
        &["compress", "log", "--codec", "lz4", "--level", "3"][..],
        &["compress", "log", "--codec", "none", "--dictionary"],
        &["compress", "log", "--codec", "brotli"],
        &["compress", "log", "--level", "high"],
        &["compress", "log", "--level", "23"],
        &["compress", "log", "--level", "-131073"],
        &["compress"],
        &["dictionary", "train", "log", "--size", "1B"],
        &["dictionary", "train", "log", "--size", "2MiB"],
        &["dictionary"],
    ] {
        assert!(!place.run(args).ended(2).err.is_empty(), "{args:?}");
    }
    for (args, kind) in [
        (&["compress", "log", "--dictionary", "--json"][..], "InvalidInput"),
        (&["compress", "nowhere", "--json"], "NotFound"),
        (&["dictionary", "train", "nowhere", "--json"], "NotFound"),
        (&["dictionary", "prune", "nowhere", "--json"], "NotFound"),
    ] {
        assert_eq!(place.run(args).ended(1).error()["kind"], kind, "{args:?}");
    }
    assert!(!place.path().join("nowhere").exists());
    damage(&place.path().join("log"), 700);
    let error = place.run(["compress", "log", "--json"]).ended(3).error();
    assert!(error["path"].as_str().unwrap().ends_with("segment-0000.wal"), "{error}");
    assert_eq!(place.run(["dictionary", "prune", "log"]).ended(3).code, Some(3));
}

/// Killed at any moment, the log holds what it held, and the next run goes on.
#[test]
fn killed_in_the_middle() {
    let place = place();
    let before = place.run(["cat", "log"]).ended(0).out;
    for (round, codec) in
        ["zstd", "none", "lz4", "snappy", "none"].into_iter().cycle().take(10).enumerate()
    {
        let mut child = place.piped(["compress", "log", "--codec", codec]);
        // Somewhere else each time; where it is done already, that is as good.
        std::thread::sleep(std::time::Duration::from_millis(3 + 7 * round as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(place.run(["cat", "log"]).ended(0).out, before, "round {round}");
        place.run(["verify", "log"]).ended(0);
    }
    place.run(["compress", "log", "--codec", "lz4"]).ended(0);
    assert_eq!(place.run(["cat", "log"]).ended(0).out, before);
    place.feed(["append", "log"], "goes on\n").ended(0);
    let left = |ending: &str| {
        let files = fs::read_dir(place.path().join("log")).unwrap();
        files
            .filter(|file| file.as_ref().unwrap().path().to_string_lossy().ends_with(ending))
            .count()
    };
    assert_eq!((left(".next"), left(".new")), (0, 0));
}
