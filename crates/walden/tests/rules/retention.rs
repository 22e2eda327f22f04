//! What goes at the front of the log, and when; and finding entries by time.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use walden::storage::Clock;
use walden::{Retention, Start, SyncStrategy, Wal};
use walden_sim::{Action, EIO, ENOSPC, Fault, OpKind, Rng, SimClock};

use crate::support::{DIR, Lab, assert_goes_on, entries, payload, payloads};

const HOUR: Duration = Duration::from_secs(3600);

/// Three entries a segment, an hour between entries.
fn hourly(lab: &Lab, wal: &Wal, seqs: std::ops::RangeInclusive<u64>) {
    for seq in seqs {
        lab.clock.advance(HOUR);
        Lab::append(wal, seq..=seq);
        wal.tick().unwrap();
    }
}

fn keep_for(age: Duration) -> Retention {
    Retention::keep_all().max_age(age)
}

/// Section 7: "Retention (age, …) is `truncate_front` at a segment border": a segment goes once its *last* entry is old.
#[test]
fn by_age() {
    let lab = Lab::new(SyncStrategy::Always, 240);
    let wal = lab.open();
    hourly(&lab, &wal, 1..=9);
    // Entry 3, the last of the first segment, is six hours old.
    assert_eq!(wal.retain(&keep_for(6 * HOUR)).unwrap(), 0);
    assert_eq!(wal.first_seq(), 1);
    lab.clock.advance(Duration::from_secs(1));
    assert_eq!(wal.retain(&keep_for(6 * HOUR)).unwrap(), 1);
    assert_eq!(entries(&wal), (4, payloads(4..=9)));
    // The active segment stays, however old.
    lab.clock.advance(1000 * HOUR);
    assert_eq!(wal.retain(&keep_for(HOUR)).unwrap(), 1);
    assert_eq!(entries(&wal), (7, payloads(7..=9)));
    assert_goes_on(&lab, wal);
}

/// The same after a reopening: the times are kept in the index.
#[test]
fn by_age_after_a_reopening() {
    let lab = Lab::new(SyncStrategy::Always, 240);
    let wal = lab.open();
    hourly(&lab, &wal, 1..=9);
    wal.close().unwrap();
    drop(wal);
    let wal = lab.open();
    assert_eq!(wal.retain(&keep_for(6 * HOUR)).unwrap(), 0);
    lab.clock.advance(Duration::from_secs(1));
    assert_eq!(wal.retain(&keep_for(6 * HOUR)).unwrap(), 1);
    assert_eq!(wal.first_seq(), 4);
}

/// By bytes and by number of segments; "never the active segment".
#[test]
fn by_bytes_and_by_count() {
    for (limits, first) in [
        (Retention::keep_all().max_bytes(720), 1),
        (Retention::keep_all().max_bytes(719), 4),
        (Retention::keep_all().max_bytes(480), 4),
        (Retention::keep_all().max_bytes(0), 7),
        (Retention::keep_all().max_segments(3), 1),
        (Retention::keep_all().max_segments(2), 4),
        (Retention::keep_all().max_segments(1), 7),
        (Retention::keep_all().max_segments(0), 7),
        (Retention::keep_all(), 1),
    ] {
        let lab = Lab::new(SyncStrategy::Always, 240);
        let wal = lab.open();
        hourly(&lab, &wal, 1..=9);
        wal.retain(&limits).unwrap();
        assert_eq!(entries(&wal), (first, payloads(first..=9)), "{limits:?}");
        assert_goes_on(&lab, wal);
    }
}

/// Section 7: "on call or automatic": by `tick`, once in a `sync_interval`.
#[test]
fn by_itself() {
    let mut lab = Lab::new(SyncStrategy::Always, 240);
    lab.config = lab.config.retention(Retention::keep_all().max_segments(2));
    let wal = lab.open();
    for seq in 1..=30 {
        lab.clock.advance(Duration::from_secs(2));
        Lab::append(&wal, seq..=seq);
        wal.tick().unwrap();
        assert!(wal.segments().unwrap().len() <= 3);
    }
    let first = wal.first_seq();
    assert!(first >= 22, "{first}");
    assert!(wal.stats().segments_expired >= 7);
    assert_eq!(entries(&wal), (first, payloads(first..=30)));
}

/// What the log's own upkeep meets, and nobody is there to be told, is counted and kept: it is no failure of the log,
/// which goes on, and does it later.
#[test]
fn failures_of_upkeep_are_told_by_stats() {
    let mut lab = Lab::new(SyncStrategy::Always, 240);
    lab.config = lab.config.retention(Retention::keep_all().max_segments(2));
    let wal = lab.open();
    let fail = |op, suffix| Fault::new(Action::Error(EIO)).on([op]).suffix(suffix);
    lab.disk.add_fault(fail(OpKind::Remove, ".wal"));
    for seq in 1..=12 {
        lab.clock.advance(Duration::from_secs(2));
        Lab::append(&wal, seq..=seq);
        let _refused = wal.tick();
    }
    let stats = wal.stats();
    assert!(!stats.poisoned && stats.upkeep_failures > 0, "{stats:?}");
    let last = stats.last_upkeep_failure.unwrap();
    assert!(last.contains("remove") && last.contains("segment-000"), "{last}");

    // An index is a cache: not even `tick` fails where it cannot be written.
    lab.disk.clear_faults();
    for (op, seqs) in [(OpKind::Create, 13..=16), (OpKind::Write, 17..=20)] {
        lab.disk.clear_faults();
        lab.disk.add_fault(fail(op, ".idx"));
        let before = wal.stats().upkeep_failures;
        Lab::append(&wal, seqs);
        wal.tick().unwrap();
        let stats = wal.stats();
        assert!(!stats.poisoned && stats.upkeep_failures > before, "{op:?} {stats:?}");
        let last = stats.last_upkeep_failure.unwrap();
        assert!(last.contains("write the index"), "{last}");
    }

    lab.disk.clear_faults();
    lab.clock.advance(Duration::from_secs(2));
    wal.tick().unwrap();
    let first = wal.first_seq();
    assert_eq!(entries(&wal), (first, payloads(first..=20)));
    assert_goes_on(&lab, wal);
}

/// Section 7: "Ages come from append times kept in the index, clamped, so that a clock that jumps can neither block nor
/// hurry it." Forward for a while, then right again: the segment whose entries bear times to come goes as its neighbours do.
#[test]
fn a_clock_that_jumped_forward_does_not_block() {
    let lab = Lab::new(SyncStrategy::Always, 240);
    let wal = lab.open();
    let right = lab.clock.now();
    hourly(&lab, &wal, 1..=3);
    lab.clock.set_now(right + 10_000 * HOUR);
    hourly(&lab, &wal, 4..=6);
    lab.clock.set_now(right + 6 * HOUR);
    hourly(&lab, &wal, 7..=12);
    assert_eq!(wal.retain(&keep_for(10 * HOUR)).unwrap(), 0, "nothing is that old");
    lab.clock.advance(3 * HOUR);
    // The second segment is not older than the third, the last of whose entries is six hours old.
    assert_eq!(wal.retain(&keep_for(8 * HOUR)).unwrap(), 1);
    assert_eq!(wal.first_seq(), 4);
    lab.clock.advance(3 * HOUR);
    assert_eq!(wal.retain(&keep_for(8 * HOUR)).unwrap(), 2);
    assert_eq!(wal.first_seq(), 10);
}

/// Backwards for a while (a machine that starts in 1970): the segment is not older than those before it.
#[test]
fn a_clock_that_jumped_back_does_not_hurry() {
    let lab = Lab::new(SyncStrategy::Always, 240);
    let wal = lab.open();
    let right = lab.clock.now();
    hourly(&lab, &wal, 1..=3);
    lab.clock.set_now(SystemTime::UNIX_EPOCH);
    hourly(&lab, &wal, 4..=6);
    lab.clock.set_now(right + 6 * HOUR);
    hourly(&lab, &wal, 7..=9);
    assert_eq!(wal.retain(&keep_for(6 * HOUR)).unwrap(), 0, "the first segment is six hours old");
    lab.clock.advance(HOUR);
    assert_eq!(wal.retain(&keep_for(7 * HOUR)).unwrap(), 0);
    lab.clock.advance(HOUR);
    assert_eq!(wal.retain(&keep_for(7 * HOUR)).unwrap(), 2);
    assert_eq!(entries(&wal).0, 7);
}

/// While the clock is back: all times are to come, and nothing goes.
#[test]
fn while_the_clock_is_back_nothing_goes() {
    let lab = Lab::new(SyncStrategy::Always, 240);
    let wal = lab.open();
    hourly(&lab, &wal, 1..=9);
    lab.clock.set_now(SystemTime::UNIX_EPOCH + HOUR);
    assert_eq!(wal.retain(&keep_for(HOUR)).unwrap(), 0);
    assert_goes_on(&lab, wal);
}

/// `seek_time`: "none of those is missed" that were appended at or after a moment, and at most 32 earlier ones come first.
#[test]
fn seek_time_over_several_segments() {
    let lab = Lab::new(SyncStrategy::Always, 80 * 50);
    let wal = lab.open();
    let mut times = Vec::new();
    let mut rng = Rng::new(5);
    for seq in 1..=400 {
        lab.clock.advance(Duration::from_millis(rng.below(3) * rng.below(1000)));
        times.push(lab.clock.now());
        Lab::append(&wal, seq..=seq);
        if seq % 70 == 0 {
            wal.tick().unwrap();
        }
    }
    assert!(wal.segments().unwrap().len() >= 7);
    check_times(&wal, &times);
    wal.close().unwrap();
    drop(wal);
    check_times(&lab.open(), &times);
}

fn check_times(wal: &Wal, times: &[SystemTime]) {
    let moments = times.iter().flat_map(|time| [*time, *time + Duration::from_micros(1)]);
    let outside = [times[0] - HOUR, times[times.len() - 1] + HOUR];
    let mut reader = wal.reader();
    for moment in moments.chain(outside) {
        reader.seek_time(moment).unwrap();
        let first = times.partition_point(|time| *time < moment) as u64 + 1;
        let found = reader.position();
        assert!(found <= first, "{found} is behind {first}: entries are missed");
        assert!(found + 32 >= first, "{found} is far before {first}");
        if let Some(entry) = reader.read_next().unwrap() {
            assert_eq!(entry.payload, payload(found));
        }
    }
}

/// Section 7: "a clock that jumps can neither block nor hurry it." While it is ahead, nothing has become old by that.
#[test]
fn while_the_clock_is_ahead_nothing_goes() {
    let lab = Lab::new(SyncStrategy::Always, 240);
    let wal = lab.open();
    let right = lab.clock.now();
    hourly(&lab, &wal, 1..=9);
    lab.clock.set_now(right + 100_000 * HOUR);
    assert_eq!(wal.retain(&keep_for(24 * HOUR)).unwrap(), 0);
    lab.clock.set_now(right + 9 * HOUR);
    assert_eq!(wal.retain(&keep_for(5 * HOUR)).unwrap(), 1);
    assert_goes_on(&lab, wal);
}

/// `seek_time` promises never to land behind an entry appended at or after the time: also where the clock jumped back
/// between segments, so that their times do not rise.
#[test]
fn seek_time_where_the_clock_jumped_back() {
    let lab = Lab::new(SyncStrategy::Always, 240);
    let wal = lab.open();
    let right = lab.clock.now();
    lab.clock.set_now(right + 1000 * HOUR);
    hourly(&lab, &wal, 1..=3);
    lab.clock.set_now(right);
    hourly(&lab, &wal, 4..=12);
    let mut reader = wal.reader();
    reader.seek_time(right + 500 * HOUR).unwrap();
    assert_eq!(reader.position(), 1);
}

/// A torn tail waits for room with some of the open segments sealed already: what the limits keep stays, to the segment.
#[test]
fn with_a_tail_that_was_cut_in_part() {
    let mut waits = 0;
    for nth in 1..20 {
        let lab = Lab::new(SyncStrategy::Always, 240);
        let wal = lab.open();
        Lab::append(&wal, 1..=6);
        wal.tick().unwrap();
        Lab::append(&wal, 7..=11);
        std::mem::forget(wal);
        let lab = lab.kill();
        let mut last = lab.read("segment-0003.wal");
        last[160..200].fill(0xa5);
        lab.write("segment-0003.wal", &last);
        let full = Fault::new(Action::Error(ENOSPC)).on([OpKind::Write, OpKind::SetLen]);
        lab.disk.add_fault(full.from_nth(nth).containing(".manifest"));
        let Ok(wal) = lab.try_open() else { continue };
        if wal.recovery().cut.is_none_or(|cut| cut.done) {
            continue;
        }
        waits += 1;
        lab.disk.clear_faults();
        drop(wal.retain(&Retention::keep_all().max_segments(2)));
        // Three entries a segment, and only the first was sealed when it was opened.
        assert!(wal.first_seq() <= 4, "nth {nth}: {}", wal.first_seq());
    }
    assert!(waits > 0);
}

/// What cannot be removed keeps nothing else, and the next call of either kind tries it again, with nothing else to do, too.
#[test]
fn what_could_not_be_removed_goes_with_the_next_call() {
    let lab = Lab::new(SyncStrategy::Always, 240);
    let wal = lab.open();
    for seq in 1..=20 {
        Lab::append(&wal, seq..=seq);
    }
    let names = || lab.names(".wal");
    let all = names();
    assert!(all.len() >= 6, "{all:?}");
    lab.disk.add_fault(Fault::new(Action::Error(EIO)).on([OpKind::Remove]).suffix(&all[1]));
    let first_of = |at: usize| wal.segments().unwrap()[at].first_seq.unwrap();
    let error = wal.truncate_front(first_of(3)).unwrap_err();
    assert!(error.to_string().contains(&all[1]), "{error}");
    let stuck: Vec<_> = all[1..2].iter().chain(&all[3..]).cloned().collect();
    assert_eq!(names(), stuck);
    wal.truncate_front(first_of(1)).unwrap_err();
    let stuck: Vec<_> = all[1..2].iter().chain(&all[4..]).cloned().collect();
    assert_eq!(names(), stuck, "it kept the space of another one");
    wal.retain(&Retention::keep_all().max_segments(100)).unwrap_err();
    lab.disk.clear_faults();
    wal.truncate_front(wal.first_seq()).unwrap();
    assert_eq!(names(), all[4..], "not taken up by the next call");

    lab.disk.add_fault(Fault::new(Action::Error(EIO)).on([OpKind::Remove]).suffix(".wal"));
    wal.truncate_front(first_of(1)).unwrap_err();
    lab.disk.clear_faults();
    assert_eq!(names(), all[4..]);
    assert_eq!(wal.retain(&Retention::keep_all().max_segments(100)).unwrap(), 0);
    assert_eq!(names(), all[5..], "not taken up by retention");
    let first = wal.first_seq();
    assert_eq!(entries(&wal), (first, payloads(first..=20)));
}

type Once = Box<dyn FnOnce() + Send>;

/// A clock that does something, once, when it is asked for the time: while retention judges ages.
struct Meanwhile {
    clock: SimClock,
    once: Mutex<Option<Once>>,
}

impl fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Meanwhile").field(&self.clock).finish()
    }
}

impl Clock for Meanwhile {
    fn now(&self) -> SystemTime {
        let once = self.once.lock().unwrap().take();
        if let Some(once) = once {
            once();
        }
        self.clock.now()
    }

    fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    fn random_id(&self) -> std::io::Result<u128> {
        self.clock.random_id()
    }
}

/// Entries 1 to 6, ten hours old, in two sealed segments, and new ones from 7 to 9.
fn old_and_new(lab: &Lab) -> (Wal, Arc<Meanwhile>) {
    let clock = Arc::new(Meanwhile { clock: lab.clock.clone(), once: Mutex::new(None) });
    let (disk, settings) = (Arc::new(lab.disk.clone()), lab.config.clone());
    let wal = Wal::open_with(DIR, settings, disk, Arc::<Meanwhile>::clone(&clock)).unwrap();
    Lab::append(&wal, 1..=6);
    lab.clock.advance(10 * HOUR);
    Lab::append(&wal, 7..=9);
    wal.tick().unwrap();
    (wal, clock)
}

/// Section 4.1: what retention judged it takes away, and nothing that came in its place: a cut and new appends
/// come in between. Nor is a cursor told that it has expired where nothing is taken away.
#[test]
fn what_came_in_the_place_of_what_was_judged_stays() {
    type Cut = fn(&Wal);
    let cuts: [(Cut, u64); 3] = [
        (|wal| wal.truncate_back(1).unwrap(), 2),
        (|wal| wal.truncate_back(4).unwrap(), 5),
        (|wal| wal.reset(1).unwrap(), 1),
    ];
    for (at, (cut, from)) in cuts.into_iter().enumerate() {
        let mut lab = Lab::new(SyncStrategy::Always, 240);
        lab.config = lab.config.cursor_cap(keep_for(6 * HOUR));
        let (wal, clock) = old_and_new(&lab);
        let cursor = wal.cursor("behind", Start::First).unwrap();
        let same = wal.clone();
        *clock.once.lock().unwrap() = Some(Box::new(move || {
            cut(&same);
            Lab::append(&same, from..=9);
            same.tick().unwrap();
        }));
        wal.retain(&keep_for(6 * HOUR)).unwrap();
        assert!(clock.once.lock().unwrap().is_none(), "it came in between");
        let first = wal.first_seq();
        assert!(first <= from, "cut {at}: LOSS: new entries before {first} are gone");
        assert_eq!(entries(&wal), (first, payloads(first..=9)), "cut {at}");
        if first == 1 {
            cursor.check().unwrap_or_else(|error| panic!("cut {at}: {error}"));
        }
        drop(cursor);
        assert_goes_on(&lab, wal);
    }
}

/// A cut of what is behind takes nothing from what was judged.
#[test]
fn what_was_judged_goes_though_what_is_behind_was_cut() {
    let lab = Lab::new(SyncStrategy::Always, 240);
    let (wal, clock) = old_and_new(&lab);
    let same = wal.clone();
    *clock.once.lock().unwrap() = Some(Box::new(move || same.truncate_back(7).unwrap()));
    assert_eq!(wal.retain(&keep_for(6 * HOUR)).unwrap(), 2);
    assert_eq!(entries(&wal), (7, payloads(7..=7)));
    assert_goes_on(&lab, wal);
}
