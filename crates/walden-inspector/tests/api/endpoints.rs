//! Each endpoint, asked well and asked badly.

use std::fs;

use serde_json::{Value, json};
use walden::{Config, Start, Wal};
use walden_inspector::serve::Options;

use crate::client::{Served, payload, seqs, small_segments};

#[test]
fn status() {
    let served = Served::of(100);
    let status = served.api("status");
    assert_eq!(status["first_seq"], "1");
    assert_eq!(status["next_seq"], "101");
    assert_eq!(status["durable_seq"], "100");
    assert_eq!(status["entries"], "100");
    assert_eq!(status["in_doubt"], "0");
    assert_eq!(status["problem"], Value::Null);
    assert_eq!(status["writer"]["lives"], true, "this process wrote it: {status}");
    assert!(status["segments"].as_u64().unwrap() > 3, "{status}");
    assert!(status["bytes"].as_u64().unwrap() > 3000, "{status}");
}

#[test]
fn segments_with_what_a_check_adds() {
    let served = Served::of(100);
    served.checked();
    served.watch.look();
    let all = served.api("segments");
    let list = all["segments"].as_array().unwrap();
    assert_eq!(all["next"], Value::Null);
    assert_eq!(list[0]["first_seq"], "1");
    assert_eq!(list.last().unwrap()["last_seq"], "100");
    let records: u64 = list.iter().map(|segment| segment["records"].as_u64().unwrap()).sum();
    assert_eq!(records, 100);
    assert!(list.iter().all(|segment| segment["damage"] == 0 && segment["compressed"] == 0));
    assert_eq!(list.iter().filter(|segment| segment["active"] == true).count(), 1);
    assert_eq!(list.iter().filter(|segment| !segment["mark"].is_null()).count(), 1);
    // In parts, the same.
    let mut parts: Vec<Value> = Vec::new();
    let mut from = json!(0);
    while !from.is_null() {
        let part = served.api(&format!("segments?limit=2&from={from}"));
        parts.extend(part["segments"].as_array().unwrap().iter().cloned());
        from = part["next"].clone();
    }
    assert_eq!(&parts, list);
}

#[test]
fn entries_both_ways() {
    let served = Served::of(250);
    let page = served.api("entries?from=1");
    assert_eq!(seqs(&page), (1..=100).collect::<Vec<_>>());
    assert_eq!(page["next"], "101");
    assert_eq!(payload(&page["entries"][6]), b"entry 7");
    let rest = served.api("entries?from=241&limit=50");
    assert_eq!((seqs(&rest), &rest["next"]), ((241..=250).collect(), &Value::Null));
    let back = served.api("entries?before=241&limit=3");
    assert_eq!((seqs(&back), &back["next"]), (vec![238, 239, 240], &json!("238")));
    let start = served.api("entries?before=3");
    assert_eq!((seqs(&start), &start["next"]), (vec![1, 2], &Value::Null));
    // What lies outside is brought into the log.
    assert_eq!(seqs(&served.api("entries?from=0&limit=1")), [1]);
    assert_eq!(seqs(&served.api(&format!("entries?before={}&limit=1", u64::MAX))), [250]);
    assert_eq!(seqs(&served.api("entries?from=251")), [] as [u64; 0]);
    assert_eq!(seqs(&served.api("entries?before=1")), [] as [u64; 0]);
    let short = served.api("entries?from=7&limit=1&preview=3");
    assert_eq!(
        (payload(&short["entries"][0]), &short["entries"][0]["len"]),
        (b"ent".to_vec(), &json!(7))
    );
}

#[test]
fn one_entry_in_pieces() {
    let big: Vec<u8> = (0..=255).cycle().take(3 << 20).collect();
    let served = Served::with(Options::default(), |dir| {
        let wal = Wal::open(dir, Config::os_cache()).unwrap();
        wal.append(&big).unwrap();
        wal.append("text").unwrap();
    });
    let entry = served.api("entries/1");
    assert_eq!((entry["len"].as_u64(), &entry["utf8"]), (Some(3 << 20), &json!(false)));
    assert!(payload(&entry) == big[..64 << 10]);
    let piece = served.api(&format!("entries/1?offset={}&len={}", 1 << 20, 1 << 20));
    assert!(payload(&piece) == big[1 << 20..2 << 20]);
    assert_eq!(payload(&served.api("entries/1?offset=999999999")), b"");
    assert_eq!(served.api("entries/2")["utf8"], true);
    assert_eq!(served.get("/api/v1/entries/3").json()["error"]["kind"], "BeyondEnd");
    assert_eq!(served.get("/api/v1/entries/3").status, 404);
    assert_eq!(served.get("/api/v1/entries/0").status, 410);
    for bad in ["x", "-1", "1/2", "", "%00", "99999999999999999999"] {
        let answer = served.get(&format!("/api/v1/entries/{bad}"));
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text());
    }
}

#[test]
fn searching() {
    let served = Served::of(3000);
    let found = served.api("search?text=entry%20299");
    assert_eq!(seqs(&found), [vec![299], (2990..=2999).collect()].concat());
    assert_eq!((&found["next"], &found["scanned"]), (&Value::Null, &json!(3000)));
    assert_eq!(found["entries"][0]["found"], 0);
    assert_eq!(seqs(&served.api("search?hex=65%206e747279203330&limit=1")), [30]);
    let on = served.api("search?hex=65%206e747279203330&limit=1");
    assert_eq!(
        seqs(&served.api(&format!(
            "search?hex=656e747279203330&limit=1&from={}",
            on["next"].as_str().unwrap()
        ))),
        [300]
    );
    assert_eq!(seqs(&served.api("search?text=ENTRY%201&case=ignore&limit=2")), [1, 10]);
    assert_eq!(seqs(&served.api("search?text=ENTRY%201")), [] as [u64; 0]);
    let back = served.api("search?text=9&before=3001&limit=2");
    assert_eq!((seqs(&back), &back["next"]), (vec![2998, 2999], &json!("2998")));
}

#[test]
fn what_was_found_is_in_what_is_shown() {
    let served = Served::with(Options::default(), |dir| {
        let wal = Wal::open(dir, Config::os_cache()).unwrap();
        wal.append(format!("{}needle{}", "a".repeat(5000), "b".repeat(5000))).unwrap();
        wal.append(format!("{}needle", "a".repeat(5000))).unwrap();
        wal.append("needle").unwrap();
    });
    for entry in served.api("search?text=needle&preview=64")["entries"].as_array().unwrap() {
        let (at, found) = (entry["at"].as_u64().unwrap(), entry["found"].as_u64().unwrap());
        let (from, shown) = (usize::try_from(found - at).unwrap(), payload(entry));
        assert_eq!(&shown[from..from + 6], b"needle", "{entry}");
    }
}

#[test]
fn a_search_is_bounded_and_goes_on() {
    let served = Served::with(Options::default(), |dir| {
        let wal = Wal::open(dir, Config::background()).unwrap();
        for _ in 0..1500 {
            wal.append_batch((0..1000).map(|_| "x")).unwrap();
        }
        wal.append("needle").unwrap();
        wal.close().unwrap();
    });
    let (mut from, mut requests) = ("1".to_owned(), 0);
    let found = loop {
        let page = served.api(&format!("search?text=needle&from={from}"));
        requests += 1;
        assert!(page["scanned"].as_u64().unwrap() <= 1_000_000);
        match page["next"].as_str() {
            Some(next) => {
                assert!(next.parse::<u64>().unwrap() > from.parse().unwrap());
                from = next.to_owned();
            }
            None => break seqs(&page),
        }
    };
    assert_eq!(found, [1_500_001]);
    assert!(requests >= 2, "one request read all");
}

#[test]
fn a_place_in_time() {
    let served = Served::of(100);
    assert_eq!(served.api("seek?time_ms=0")["seq"], "1");
    let far = served.api("seek?time_ms=99999999999999")["seq"].as_str().unwrap().parse::<u64>();
    assert!(far.unwrap() > 60, "at the end, as near as the index tells");
    assert_eq!(served.get("/api/v1/seek").status, 400);
    assert_eq!(served.get(&format!("/api/v1/seek?time_ms={}", u64::MAX)).status, 200);
}

#[test]
fn cursors_history_recovery_and_check() {
    let served = Served::with(Options::default(), |dir| {
        let wal = Wal::open(dir, small_segments()).unwrap();
        wal.append_batch((0..50).map(|n| n.to_string())).unwrap();
        wal.sync().unwrap();
        let cursor = wal.cursor("mailer", Start::First).unwrap();
        cursor.commit(21).unwrap();
        wal.set_meta("vote", "7").unwrap();
        wal.close().unwrap();
    });
    let cursors = served.api("cursors");
    assert_eq!(cursors["cursors"][0]["name"], "mailer");
    assert_eq!(cursors["cursors"][0]["position"], "22");
    assert_eq!(cursors["cursors"][0]["lag"], "29");
    served.watch.look();
    let history = served.api("history");
    assert_eq!(history["at_ms"].as_array().unwrap().len(), 2);
    assert_eq!(history["next_seq"][1], "51");
    let last = &history["at_ms"][1];
    assert_eq!(served.api(&format!("history?since_ms={last}"))["at_ms"], json!([]));
    let recovery = served.api("recovery");
    assert_eq!(recovery["manifest"]["meta"][0], json!({ "key": "vote", "bytes": 1 }));
    assert_eq!(recovery["manifest"]["losses"], json!([]));
    assert_eq!(recovery["quarantine"], json!([]));
    let last = served.checked();
    assert_eq!(last["found"]["damaged"], false);
    assert_eq!(last["found"]["records"], 50);
}

#[test]
fn metrics() {
    let served = Served::with(Options::default(), |dir| {
        let wal = Wal::open(dir, small_segments()).unwrap();
        wal.append_batch((0..50).map(|n| n.to_string())).unwrap();
        wal.sync().unwrap();
        drop(wal.cursor("mailer", Start::First).unwrap());
        wal.close().unwrap();
    });
    served.checked();
    let answer = served.get("/metrics");
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let text = answer.text();
    for line in [
        "walden_log_readable 1",
        "walden_log_first_seq 1",
        "walden_log_next_seq 51",
        "walden_log_durable_seq 50",
        "walden_log_appended_bytes_total 0",
        "walden_log_damages 0",
        "walden_log_writer_alive 1",
        "walden_log_cursor_lag_entries{cursor=\"mailer\"} 50",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("walden_log_") && value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    let served = Served::of(3);
    for path in [
        "entries?from=x",
        "entries?from=-1",
        "entries?from=1&before=2",
        "entries?limit=0",
        "entries?limit=1001",
        "entries?preview=1025",
        "entries?form=1",
        "entries?from=1&from=2",
        "entries/1?len=1048577",
        "entries/1?offset=-1",
        "search",
        "search?text=",
        "search?text=a&hex=61",
        "search?hex=6",
        "search?hex=zz",
        "search?text=a&case=maybe",
        "segments?limit=10001",
        "status?x=1",
        "history?since_ms=now",
        "follow?from=x",
        "check?force=1",
    ] {
        let answer = served.get(&format!("/api/v1/{path}"));
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.len() > 15 && message.len() < 400, "{path}: {message}");
    }
    let long = "a".repeat(1025);
    assert_eq!(served.get(&format!("/api/v1/search?text={long}")).status, 400);
    for path in ["/api/v1/", "/api/v2/status", "/nothing", "/api/v1/status/", "/..%2f", "/main.js/"]
    {
        assert_eq!(served.get(path).status, 404, "{path}");
    }
    for (method, path) in [
        ("POST", "/api/v1/status"),
        ("DELETE", "/api/v1/entries/1"),
        ("PUT", "/"),
        ("POST", "/main.js"),
        ("GET", "/login"),
        ("OPTIONS", "/api/v1/status"),
    ] {
        let answer = served.ask(method, path, "");
        assert_eq!(answer.status, 405, "{method} {path}");
        assert!(answer.header("allow").is_some());
    }
    assert_eq!(served.ask("POST", "/api/v1/check?x=1", "").status, 400);
}

#[test]
fn every_answer_has_the_headers_that_keep_payloads_harmless() {
    let served = Served::of(3);
    for path in ["/", "/main.js", "/style.css", "/metrics", "/api/v1/entries", "/nothing"] {
        let answer = served.get(path);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        assert!(answer.header("access-control-allow-origin").is_none(), "{path}");
    }
    // Nothing is asked for elsewhere, and nothing is inline.
    let page = served.get("/").text();
    assert!(!page.contains("://") && !page.contains("style=") && !page.contains("onclick"));
    assert_eq!(page.matches("<script").count(), 1);
    let head = served.ask("HEAD", "/", "");
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn nothing_is_changed_and_no_lock_is_taken() {
    let served = Served::of(100);
    let state = || {
        let mut files: Vec<_> = fs::read_dir(served.log()).unwrap().map(Result::unwrap).collect();
        files.sort_by_key(fs::DirEntry::file_name);
        let state = files.iter().map(|file| {
            let modified = file.metadata().unwrap().modified().unwrap();
            (file.file_name(), modified, fs::read(file.path()).unwrap_or_default())
        });
        state.collect::<Vec<_>>()
    };
    let before = state();
    for path in ["status", "segments", "entries", "search?text=1", "seek?time_ms=5", "recovery"] {
        served.api(path);
    }
    served.checked();
    served.watch.look();
    assert!(state() == before, "a byte, a time or a file changed");
    Wal::open(served.log(), small_segments()).unwrap().append("the lock is free").unwrap();
}
