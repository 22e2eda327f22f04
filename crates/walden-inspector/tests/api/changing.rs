//! A log that changes, breaks, or goes, while it is shown.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use walden::{Config, Retention, Wal};
use walden_inspector::serve::Options;

use crate::client::{Served, make_log, payload, seqs, small_segments, wait_for};

/// What those who follow are told, event by event.
struct Events(BufReader<TcpStream>);

impl Events {
    fn of(served: &Served, query: &str, headers: &str) -> Self {
        let mut stream = served.connect();
        let head = format!(
            "GET /api/v1/follow{query} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n",
            served.address
        );
        stream.write_all(head.as_bytes()).unwrap();
        Self(BufReader::new(stream))
    }

    /// The next event that is not a sign of life.
    fn next(&mut self) -> (String, Value) {
        let mut name = String::new();
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "it ended");
            if let Some(event) = line.strip_prefix("event: ") {
                name = event.trim().to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                return (name, serde_json::from_str(data).unwrap());
            }
        }
    }

    /// Seq ids as they come, until there are so many.
    fn entries(&mut self, many: usize) -> Vec<u64> {
        let mut all = Vec::new();
        while all.len() < many {
            let (name, data) = self.next();
            assert_eq!(name, "entries", "{data}");
            all.extend(seqs(&data));
        }
        all
    }
}

#[test]
fn following_a_writer() {
    let served = Served::of(10);
    let wal = Wal::open(served.log(), small_segments()).unwrap();
    let mut events = Events::of(&served, "?from=9", "");
    assert_eq!(events.entries(2), [9, 10]);
    let mut new = Events::of(&served, "", "");
    let mut again = Events::of(&served, "", "Last-Event-ID: 7\r\n");
    assert_eq!(again.entries(3), [8, 9, 10]);
    wal.append("hello").unwrap();
    let (name, data) = events.next();
    assert_eq!((&*name, seqs(&data)), ("entries", vec![11]));
    assert_eq!(payload(&data["entries"][0]), b"hello");
    assert_eq!(data["next_seq"], "12");
    // Whoever came before the entry is told of it, and of nothing before it.
    assert_eq!(new.entries(1), [11]);
    wal.truncate_back(5).unwrap();
    let (name, data) = events.next();
    assert_eq!((&*name, &data["at"]), ("truncated", &json!("6")));
    wal.append("another 6").unwrap();
    assert_eq!(events.entries(1), [6]);
}

/// Nothing was told yet: what came while the connection was lost is not left out all the same.
#[test]
fn who_is_cut_off_before_the_first_entry_goes_on_where_it_began() {
    let served = Served::of(10);
    let wal = Wal::open(served.log(), small_segments()).unwrap();
    for (query, before) in [("?from=9", "8"), ("", "10"), ("?from=1", "0")] {
        let events = Events::of(&served, query, "");
        let mut lines = events.0.lines().map(Result::unwrap);
        assert_eq!(
            lines.find_map(|line| Some(line.strip_prefix("id: ")?.to_owned())).unwrap(),
            before
        );
    }
    wal.append("meanwhile").unwrap();
    let mut again = Events::of(&served, "", "Last-Event-ID: 10\r\n");
    assert_eq!(again.entries(1), [11]);
}

#[test]
fn a_log_of_unknown_size_is_not_checked_unasked() {
    let served = Served::with(Options::default(), |dir| {
        make_log(dir, 10);
        fs::write(dir.join("segment.manifest"), "nothing").unwrap();
    });
    let check = served.api("check");
    assert!(check["running"].is_null() && check["last"].is_null(), "{check}");
    let small = Served::of(10);
    wait_for("a check", || !small.api("check")["last"].is_null());
}

#[test]
fn a_line_break_in_an_entry_ends_no_event() {
    let served = Served::of(1);
    let wal = Wal::open(served.log(), small_segments()).unwrap();
    let mut events = Events::of(&served, "?from=2", "");
    wal.append("\n\nevent: problem\ndata: {}\n\n").unwrap();
    let (name, data) = events.next();
    assert_eq!(name, "entries");
    assert_eq!(payload(&data["entries"][0]), b"\n\nevent: problem\ndata: {}\n\n");
}

#[test]
fn what_comes_too_fast_is_left_out_and_told() {
    let served = Served::of(1);
    let wal = Wal::open(served.log(), Config::background()).unwrap();
    let mut events = Events::of(&served, "?from=1", "");
    assert_eq!(events.entries(1), [1]);
    wal.append_batch((0..50_000).map(|n| n.to_string())).unwrap();
    wal.flush().unwrap();
    // Some at once, and then those near the end.
    let (name, data) = events.next();
    assert_eq!(name, "entries");
    let next = seqs(&data).last().unwrap() + 1;
    let (name, data) = events.next();
    assert_eq!((&*name, &data["from"]), ("skipped", &json!(next.to_string())));
    let to: u64 = data["to"].as_str().unwrap().parse().unwrap();
    assert!(to > 40_000);
    assert_eq!(events.entries(1)[0], to);
}

#[test]
fn cut_in_front_reset_and_written_on() {
    let served = Served::of(100);
    let wal = Wal::open(served.log(), small_segments()).unwrap();
    wal.truncate_front(40).unwrap();
    assert_eq!(seqs(&served.api("entries?from=1&limit=2")), [40, 41]);
    assert_eq!(served.get("/api/v1/entries/39").status, 410);
    wal.retain(&Retention::keep_all().max_segments(2)).unwrap();
    served.watch.look();
    let first: u64 = served.api("status")["first_seq"].as_str().unwrap().parse().unwrap();
    assert_eq!(first, wal.first_seq());
    // Above what a number holds in JavaScript.
    let far = (1 << 53) + 1;
    wal.reset(far).unwrap();
    wal.append("a").unwrap();
    wal.append("b").unwrap();
    served.watch.look();
    let status = served.api("status");
    assert_eq!(status["first_seq"], "9007199254740993");
    assert_eq!(seqs(&served.api("entries?from=1")), [far, far + 1]);
    assert_eq!(payload(&served.api("entries/9007199254740994")), b"b");
    assert_eq!(status["problem"], Value::Null);
}

/// Turns bytes in the middle of a segment over.
fn damage(served: &Served, segment: &str) {
    let path = served.log().join(segment);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4].iter_mut().for_each(|byte| *byte ^= 0xff);
    fs::write(&path, bytes).unwrap();
}

#[test]
fn damage_is_shown_and_gone_around() {
    let served = Served::of(200);
    served.checked();
    served.watch.look();
    assert_eq!(served.api("status")["damaged"], false);
    damage(&served, "segment-0002.wal");
    // Before a check knows: the next segment is where reading goes on.
    let segments = served.api("segments")["segments"].clone();
    let third: u64 = segments[3]["first_seq"].as_str().unwrap().parse().unwrap();
    let page = served.api("entries?from=1&limit=1000");
    assert_eq!(page["problem"]["kind"], "Corrupt");
    let bad: u64 = page["next"].as_str().unwrap().parse().unwrap();
    assert_eq!(seqs(&page), (1..bad).collect::<Vec<_>>());
    assert_eq!(page["problem"]["resume"], third.to_string());
    // After a check: the entry behind the damaged one.
    let last = served.checked();
    assert_eq!(last["found"]["damaged"], true);
    assert_eq!(last["found"]["findings"][0]["severity"], "damage");
    assert_eq!(served.api("status")["damaged"], true);
    assert_eq!(served.api("segments")["segments"][2]["damage"], 1);
    assert!(served.get("/metrics").text().contains("\nwalden_log_damages 1\n"));
    let page = served.api("entries?from=1&limit=1000");
    let resume: u64 = page["problem"]["resume"].as_str().unwrap().parse().unwrap();
    assert!(resume > bad && resume <= third, "{bad} {resume} {third}");
    let behind = served.api(&format!("entries?from={resume}&limit=1000"));
    assert_eq!(seqs(&behind), (resume..=200).collect::<Vec<_>>());
    assert_eq!(behind["problem"], Value::Null);
    // The other way, too.
    let back = served.api("entries?before=201&limit=1000");
    assert_eq!(back["problem"]["kind"], "Corrupt");
    let front: u64 = back["problem"]["resume"].as_str().unwrap().parse().unwrap();
    assert!(front <= bad, "{back}");
    let before = served.api(&format!("entries?before={front}&limit=1000"));
    assert_eq!(seqs(&before), (1..front).collect::<Vec<_>>());
    let search = served.api("search?text=entry&limit=1000");
    assert_eq!(search["problem"]["resume"], resume.to_string());
    let one = served.get(&format!("/api/v1/entries/{bad}"));
    assert_eq!((one.status, &one.json()["error"]["kind"]), (500, &json!("Corrupt")));
}

#[test]
fn a_log_that_cannot_be_opened_is_shown_as_far_as_it_can_be() {
    let served = Served::with(Options::default(), |dir| {
        make_log(dir, 50);
        let path = dir.join("segment.manifest");
        let garbage = vec![0x5a; fs::read(&path).unwrap().len()];
        fs::write(path, garbage).unwrap();
    });
    let status = served.api("status");
    assert_eq!(status["problem"]["kind"], "Corrupt", "{status}");
    assert_eq!(served.get("/api/v1/entries").status, 500);
    let last = served.checked();
    assert_eq!(last["found"]["damaged"], true, "{last}");
    assert!(served.get("/metrics").text().contains("walden_log_readable 0"));
    assert!(served.api("recovery")["manifest"]["problem"].is_string());
}

#[test]
fn a_folder_that_goes_and_comes_back() {
    let served = Served::of(10);
    let away = served.log().with_extension("away");
    fs::rename(served.log(), &away).unwrap();
    served.watch.look();
    assert_eq!(served.api("status")["problem"]["kind"], "NotFound");
    assert_eq!(served.get("/api/v1/entries").status, 404);
    fs::rename(&away, served.log()).unwrap();
    served.watch.look();
    assert_eq!(served.api("status")["problem"], Value::Null);
    // Another log in its place is looked at anew.
    fs::remove_dir_all(served.log()).unwrap();
    make_log(&served.log(), 3);
    wait_for("the other log", || served.watch.look().problem.is_none());
    assert_eq!(served.api("status")["next_seq"], "4");
    assert_eq!(seqs(&served.api("entries")), [1, 2, 3]);
}

#[test]
fn a_writer_at_full_speed() {
    let served = Served::of(1);
    let log = served.log();
    let writer = std::thread::spawn(move || {
        let wal = Wal::open(log, small_segments()).unwrap();
        for round in 0..300_u64 {
            wal.append_batch((0..20).map(|n| format!("{round} {n}"))).unwrap();
            if round % 20 == 19 {
                wal.truncate_front(wal.next_seq() - 50).unwrap();
            }
            if round % 50 == 49 {
                wal.truncate_back(wal.next_seq() - 30).unwrap();
            }
        }
        wal.next_seq()
    });
    let mut asked = 0;
    while !writer.is_finished() {
        served.watch.look();
        for path in
            ["entries?before=99999999", "entries?from=1", "search?text=1%20", "segments", "status"]
        {
            let answer = served.get(&format!("/api/v1/{path}"));
            // Cut while it was read: that is said, and nothing else goes wrong.
            assert!([200, 410, 503].contains(&answer.status), "{path}: {}", answer.text());
            let problem = &answer.json()["problem"]["kind"];
            let fine = ["Removed", "Truncated", "Busy"];
            assert!(
                problem.is_null() || fine.contains(&problem.as_str().unwrap()),
                "{}",
                answer.text()
            );
            asked += 1;
        }
    }
    let next = writer.join().unwrap();
    served.watch.look();
    assert_eq!(served.api("status")["next_seq"], next.to_string());
    assert!(asked > 0);
}
