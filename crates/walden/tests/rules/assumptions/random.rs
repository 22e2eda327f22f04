//! "Random ids do not repeat", and there are some: a source that fails once, at each place that asks it, and one that gives
//! the same again and again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use walden::offline::{self, Choice, Target};
use walden::storage::Clock;
use walden::{Error, SyncStrategy, Wal};
use walden_sim::SimClock;

use super::open_by;
use crate::support::{DIR, Lab, entries, every_stop, payload, payloads, record, records};

/// A clock whose `fails_at`-th random id cannot be had; or whose ids are all the same.
#[derive(Debug, Clone)]
struct Chance {
    clock: SimClock,
    asked: Arc<AtomicU64>,
    fails_at: u64,
    repeats: bool,
}

impl Chance {
    fn failing(lab: &Lab, fails_at: u64) -> Self {
        Self { clock: lab.clock.clone(), asked: Arc::default(), fails_at, repeats: false }
    }

    fn repeating(lab: &Lab) -> Self {
        Self { repeats: true, ..Self::failing(lab, 0) }
    }

    fn has_failed(&self) -> bool {
        self.asked.load(Ordering::SeqCst) >= self.fails_at
    }
}

impl Clock for Chance {
    fn now(&self) -> SystemTime {
        self.clock.now()
    }
    fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }
    fn random_id(&self) -> io::Result<u128> {
        if self.asked.fetch_add(1, Ordering::SeqCst) + 1 == self.fails_at {
            return Err(io::Error::other("the source of randomness is dry"));
        }
        if self.repeats { Ok(7) } else { self.clock.random_id() }
    }
}

fn dry(error: &Error) {
    let said = error.to_string();
    assert!(said.contains("random id") && said.contains("dry"), "{said}");
    assert!(!error.is_poisoned() && !error.is_corruption(), "{said}");
}

/// Calls until it works: the second time, if the first met the source that failed. Then nothing is different for it.
fn twice<T>(chance: &Chance, met: &mut u64, mut call: impl FnMut() -> Result<T, Error>) -> T {
    let before = chance.has_failed();
    call().unwrap_or_else(|error| {
        dry(&error);
        assert!(!before && chance.has_failed(), "not by the source");
        *met += 1;
        call().unwrap()
    })
}

/// Makes a log, cuts it at the back, empties it, takes frames of another and appends to them, opens it with a torn tail.
fn history(lab: &Lab, chance: &Chance, source: &Wal) -> u64 {
    let mut met = 0;
    let wal = twice(chance, &mut met, || open_by(lab, chance.clone()));
    Lab::append(&wal, 1..=9);
    twice(chance, &mut met, || {
        let done = wal.truncate_back(5);
        let left = if done.is_ok() { 5 } else { 9 };
        assert_eq!(entries(&wal), (1, payloads(1..=left)));
        done
    });
    Lab::append(&wal, 6..=7);
    twice(chance, &mut met, || {
        let done = wal.reset(1);
        assert_eq!(wal.is_empty(), done.is_ok());
        done
    });
    let frames = source.frames(1, u64::MAX).unwrap().unwrap();
    assert_eq!(twice(chance, &mut met, || wal.append_frames(&frames)), 1..7);
    assert_eq!(twice(chance, &mut met, || wal.append(payload(7))), 7);
    assert_eq!(entries(&wal), (1, payloads(1..=7)));
    drop(wal);

    let killed = lab.kill();
    let last = killed.names(".wal").pop().unwrap();
    let torn = [killed.read(&last), vec![0xa5; 40]].concat();
    killed.write(&last, &torn);
    let wal = twice(chance, &mut met, || open_by(&killed, chance.clone()));
    assert_eq!(entries(&wal), (1, payloads(1..=7)));
    // What was torn is kept, whichever of the two openings put it aside.
    assert_eq!(killed.names(".torn").len(), 1, "{:?}", killed.disk.files());
    assert_eq!(wal.append(payload(8)).unwrap(), 8);
    wal.close().unwrap();
    let wal = twice(chance, &mut met, || open_by(&killed, chance.clone()));
    assert_eq!(entries(&wal), (1, payloads(1..=8)));
    met
}

/// The call is refused, the error says for want of what, nothing was done, and it works as soon as the source does.
#[test]
fn a_source_that_fails_once_at_each_place_that_asks() {
    let source = Lab::new(SyncStrategy::Always, 1 << 20);
    let source = source.open();
    Lab::append(&source, 1..=6);
    for fails_at in 1.. {
        let lab = Lab::new(SyncStrategy::Always, 240);
        let chance = Chance::failing(&lab, fails_at);
        let met = history(&lab, &chance, &source);
        if !chance.has_failed() {
            assert!(fails_at > 8, "{fails_at}");
            return;
        }
        assert_eq!(met, 1, "{fails_at}: the failure was passed over");
    }
}

/// The same where another program's segments are taken over, and where a lost manifest is made anew.
#[test]
fn a_source_that_fails_while_a_log_is_taken_over_or_repaired() {
    for fails_at in 1.. {
        let lab = Lab::new(SyncStrategy::Always, 240);
        for (at, seqs) in [(0, 1..=3), (1, 4..=6)] {
            lab.write(&format!("segment-{at:04}.wal"), &records(seqs));
        }
        let (chance, mut met) = (Chance::failing(&lab, fails_at), 0);
        let wal = twice(&chance, &mut met, || open_by(&lab, chance.clone()));
        assert_eq!(entries(&wal), (1, payloads(1..=6)));
        wal.close().unwrap();
        drop(wal);
        for seq in 7..=12 {
            lab.write(&format!("segment-{:04}.wal", seq - 4), &record(seq, &payload(seq)));
        }
        let wal = twice(&chance, &mut met, || open_by(&lab, chance.clone()));
        assert_eq!(entries(&wal), (1, payloads(1..=12)));
        wal.close().unwrap();
        drop(wal);
        lab.remove("segment.manifest");
        let (disk, clock) = (Arc::new(lab.disk.clone()), Arc::new(chance.clone()));
        let target = Target::new(DIR, "segment", disk, clock);
        let before = met + u64::from(chance.has_failed());
        twice(&chance, &mut met, || {
            offline::repair_apply(&target, Choice::Safe { first_seq: None }, &mut |_| {})
        });
        // Some of the judging is done by opening the log on paper: that it could not be is no damage, and no failure.
        let on_paper = u64::from(chance.has_failed()) + before == 1 && met == 0;
        let wal = twice(&chance, &mut met, || open_by(&lab, chance.clone()));
        assert_eq!(entries(&wal), (1, payloads(1..=12)));
        if !chance.has_failed() {
            assert!(fails_at > 6, "{fails_at}");
            return;
        }
        assert_eq!(met + u64::from(on_paper), 1, "{fails_at}: the failure was passed over");
    }
}

fn other(seq: u64) -> Vec<u8> {
    [b"another ", &payload(seq)[..44]].concat()
}

/// Nine entries, of which four are replaced; all that was appended, as it is at the end.
fn replaced(lab: &Lab) {
    let Ok(wal) = open_by(lab, Chance::repeating(lab)) else { return };
    if payloads(1..=9).iter().any(|payload| wal.append(payload).is_err()) {
        return;
    }
    if wal.truncate_back(5).is_err() {
        return;
    }
    for seq in 6..=12 {
        if wal.append(other(seq)).is_err() || wal.tick().is_err() {
            return;
        }
    }
}

/// Ids that repeat: the log itself does not need them to tell a cut, whenever it is killed or loses power. Its entries are
/// of before the cut or of behind it, never of both under seq ids from the cut on; or it is called damaged, where a mark of
/// before the cut is believed.
#[test]
fn ids_that_repeat_do_not_mix_histories_on_the_disk() {
    let new: Vec<Vec<u8>> = (1..=5).map(payload).chain((6..=12).map(other)).collect();
    every_stop(&Lab::new(SyncStrategy::Always, 240), 20, replaced, |found, stop| {
        match open_by(found, Chance::repeating(found)) {
            Ok(wal) => {
                let (first, all) = entries(&wal);
                assert_eq!(first, 1, "{stop}");
                let old = payloads(1..=9);
                assert!(old.starts_with(&all) || new.starts_with(&all), "{stop}: histories mixed");
            }
            Err(error) => assert!(error.is_corruption(), "{stop}: {error}"),
        }
    });
}

/// Positions in this process are told of a cut all the same: they go by a count of the cuts.
#[test]
fn ids_that_repeat_do_not_hide_a_cut_from_this_process() {
    let lab = Lab::new(SyncStrategy::Always, 240);
    let wal = open_by(&lab, Chance::repeating(&lab)).unwrap();
    Lab::append(&wal, 1..=9);
    let mut reader = wal.reader_at(8).unwrap();
    let mut follower = wal.follow(8).unwrap();
    let cursor = wal.cursor("c", walden::Start::At(8)).unwrap();
    wal.truncate_back(5).unwrap();
    (6..=12).for_each(|seq| assert_eq!(wal.append(other(seq)).unwrap(), seq));
    assert!(reader.read_next().unwrap_err().is_truncated());
    assert!(matches!(follower.try_next().unwrap(), Some(walden::Event::Truncated { .. })));
    assert!(cursor.check().unwrap_err().is_truncated());
}
