//! What is told to `tracing`, and what is not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::fmt::{Debug, Write};
use std::path::Path;
use std::sync::{Arc, Once};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use walden::{Config, Maintenance, Retention, SyncStrategy, Wal};
use walden_sim::{Action, EIO, Fault, OpKind, SimClock, SimDisk};

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Every event of a thread as a line: level, the spans it stands in, message and fields.
struct Heard;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        }
        .unwrap();
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Heard {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        assert_eq!(attributes.metadata().target(), "walden");
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        assert_eq!(event.metadata().target(), "walden");
        let spans = context.event_scope(event).into_iter().flat_map(|scope| scope.from_root());
        let spans: Vec<&str> = spans.map(|span| span.name()).collect();
        let mut line = Line(format!("{} {}:", event.metadata().level(), spans.join("/")));
        event.record(&mut line);
        LINES.with_borrow_mut(|lines| lines.push(line.0));
    }
}

/// From now on, before a log tells anything: `tracing` asks once who listens at a place, and one that is reached
/// first while a listener comes may pass that over for good.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(Heard);
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// What `work` made the log tell on this thread.
fn heard(work: impl FnOnce()) -> Vec<String> {
    LINES.take();
    work();
    LINES.take()
}

#[derive(Clone)]
struct Lab {
    disk: SimDisk,
    clock: SimClock,
}

impl Lab {
    fn new() -> Self {
        listen();
        let clock = SimClock::new(5);
        Self { disk: SimDisk::with_clock(clock.clone()), clock }
    }

    fn open(&self, config: Config) -> walden::Result<Wal> {
        let config = config.maintenance(Maintenance::Manual);
        let (disk, clock) = (Arc::new(self.disk.clone()), Arc::new(self.clock.clone()));
        Wal::open_with(Path::new("/log"), config, disk, clock)
    }
}

fn assert_heard(lines: &[String], expected: &[&str]) {
    let all = lines.join("\n");
    assert_eq!(lines.len(), expected.len(), "{all}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "expected: {expected}\n{all}");
    }
}

const PAYLOAD: [u8; 52] = [7; 52];

#[test]
fn a_life() {
    let lab = Lab::new();
    let mut opened = None;
    let lines = heard(|| opened = Some(lab.open(Config::durable().segment_size(240)).unwrap()));
    assert_heard(&lines, &["INFO open: opened origin=Created"]);
    let wal = opened.unwrap();
    let lines = heard(|| {
        for _ in 0..9 {
            wal.append(PAYLOAD).unwrap();
            wal.tick().unwrap();
        }
    });
    let (moved, sealed) = ("DEBUG seal: appends went on", "DEBUG seal: sealed bytes=240");
    assert_heard(&lines, &[moved, sealed, moved, sealed]);
    let lines = heard(|| {
        assert_eq!(wal.retain(&Retention::keep_all().max_segments(1)).unwrap(), 2);
        assert_eq!(wal.retain(&Retention::keep_all().max_segments(1)).unwrap(), 0);
    });
    let removed = "INFO retain: retention removed segments segments=2 bytes=480 first_seq=7";
    assert_heard(&lines, &[removed]);
    let lines = heard(|| {
        wal.truncate_front(8).unwrap();
        wal.truncate_back(8).unwrap();
        wal.reset(100).unwrap();
    });
    let cuts = [
        "INFO : cut dir=/log first_seq=8 next_seq=10",
        "INFO : cut dir=/log first_seq=8 next_seq=9",
        "INFO : cut dir=/log first_seq=100 next_seq=100",
    ];
    assert_heard(&lines, &cuts);
    assert_heard(&heard(|| wal.close().unwrap()), &["INFO close: closed"]);
    let lines = heard(|| drop(lab.open(Config::durable()).unwrap()));
    assert_heard(&lines, &["INFO open: opened origin=Clean", "INFO close: closed"]);
}

#[test]
fn appends_and_reads_tell_nothing() {
    for strategy in [SyncStrategy::Always, SyncStrategy::OsCache, SyncStrategy::Background] {
        let lab = Lab::new();
        let wal = lab.open(Config::durable().sync_strategy(strategy)).unwrap();
        let lines = heard(|| {
            for _ in 0..1000 {
                wal.append(PAYLOAD).unwrap();
                wal.submit(PAYLOAD).unwrap().wait().unwrap();
                wal.append_batch([PAYLOAD; 3]).unwrap();
            }
            assert_eq!(wal.range(..).unwrap().count(), 5000);
            wal.tick().unwrap();
        });
        assert_heard(&lines, &[]);
    }
}

#[test]
fn failures() {
    let lab = Lab::new();
    let wal = lab.open(Config::durable().segment_size(240)).unwrap();
    for _ in 0..3 {
        wal.append(PAYLOAD).unwrap();
    }
    lab.disk.flip_bit("/log/segment-0000.wal", 8 * 80 + 8 * 30).unwrap();
    let lines = heard(|| drop(wal.get(2).unwrap_err()));
    assert_heard(&lines, &["ERROR : damage was met dir=/log error="]);
    let fail = |op| Fault::new(Action::Error(EIO)).on([op]);
    lab.disk.add_fault(fail(OpKind::Create));
    let lines = heard(|| drop(wal.tick().unwrap_err()));
    assert_heard(&lines, &["WARN : upkeep failed, to be tried again dir=/log error="]);
    lab.disk.clear_faults();
    lab.disk.add_fault(fail(OpKind::SyncData).suffix(".wal"));
    let lines = heard(|| {
        wal.append(PAYLOAD).unwrap_err();
        wal.append(PAYLOAD).unwrap_err();
    });
    assert_heard(&lines, &["ERROR : poisoned dir=/log cause="]);
    assert!(lines[0].contains("cannot sync"), "{lines:?}");
    let lines = heard(|| drop(wal.close()));
    assert_heard(&lines, &["WARN close: not closed cleanly error="]);
    lab.disk.clear_faults();
    lab.disk.add_fault(fail(OpKind::Lock));
    let lines = heard(|| drop(lab.open(Config::durable()).unwrap_err()));
    assert_heard(&lines, &["ERROR open: not opened error="]);
}

#[test]
fn a_torn_tail() {
    let lab = Lab::new();
    let wal = lab.open(Config::durable().segment_size(4096)).unwrap();
    wal.append(PAYLOAD).unwrap();
    let disk = lab.disk.kill();
    let path = "/log/segment-0000.wal";
    let mut bytes = disk.read_file(path).unwrap();
    bytes[80..200].fill(9);
    disk.write_file(path, &bytes).unwrap();
    let lab = Lab { disk, ..lab };
    let lines = heard(|| drop(lab.open(Config::durable()).unwrap()));
    let torn =
        "WARN open: the tail was torn file=/log/segment-0000.wal offset=80 bytes=4016 reason=";
    assert_heard(&lines, &[torn, "INFO open: opened origin=Recovered", "INFO close: closed"]);
}
