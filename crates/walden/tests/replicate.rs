//! One log as a copy of another: frames, histories that part, and crashes in between.
#![expect(
    clippy::big_endian_bytes,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail the test"
)]

mod engine;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::over;
use walden::{Config, Error, ErrorKind, Event, Frames, LogReader, Maintenance, Wal};
use walden_sim::{CrashPlan, Rng, SimClock, SimDisk};

fn payload(seq: u64) -> Vec<u8> {
    format!("entry {seq} ").into_bytes().repeat((seq % 5) as usize + 1)
}

/// Entries up to `last`, with batches among them, in small segments.
fn fill(wal: &Wal, last: u64) {
    while wal.next_seq() <= last {
        let next = wal.next_seq();
        if next.is_multiple_of(7) {
            wal.append_batch((next..(next + 4).min(last + 1)).map(payload)).unwrap();
        } else {
            wal.append(payload(next)).unwrap();
        }
    }
}

fn entries(wal: &Wal) -> Vec<(u64, Vec<u8>)> {
    wal.range(..).unwrap().map(|e| e.map(|e| (e.seq, e.payload.to_vec())).unwrap()).collect()
}

/// Over the wire and back.
fn sent(frames: &Frames) -> Frames {
    let back = Frames::from_bytes(frames.to_bytes()).unwrap();
    assert_eq!(&back, frames);
    back
}

/// Ships all there is, a little at a time.
fn ship(source: &Wal, copy: &Wal, max_bytes: u64) -> Result<(), Error> {
    while let Some(frames) = source.frames(copy.next_seq(), max_bytes)? {
        copy.append_frames(&sent(&frames))?;
    }
    Ok(())
}

fn pair() -> (tempfile::TempDir, Wal, Wal) {
    let dir = tempfile::tempdir().unwrap();
    let source =
        Wal::open(dir.path().join("a"), over(Config::os_cache()).segment_size(700)).unwrap();
    let copy = Wal::open(dir.path().join("b"), over(Config::durable()).segment_size(450)).unwrap();
    (dir, source, copy)
}

#[test]
fn a_copy_has_the_same_entries_batches_and_history() {
    for max_bytes in [1, 300, 1 << 20] {
        let (dir, source, copy) = pair();
        fill(&source, 100);
        assert!(source.durable_seq() < 100);
        let behind = source.frames(source.durable_seq() + 1, max_bytes).unwrap();
        assert_eq!(behind, None, "only what is durable");
        source.sync().unwrap();
        ship(&source, &copy, max_bytes).unwrap();
        assert_eq!(entries(&copy), entries(&source));
        assert_eq!(copy.durable_seq(), 100, "as the copy's strategy says");
        #[cfg(feature = "digest")]
        assert_eq!(copy.digest(..).unwrap(), source.digest(..).unwrap());
        // A batch still is one record: what is asked for from its middle begins before.
        let frames = LogReader::open(dir.path().join("b")).unwrap().frames(9, 1).unwrap().unwrap();
        assert_eq!(frames.seqs(), 7..11);
        // A copy can be copied, and goes on being one after reopening.
        copy.close().unwrap();
        let copy = Wal::open(dir.path().join("b"), over(Config::durable())).unwrap();
        fill(&source, 120);
        source.sync().unwrap();
        ship(&source, &copy, max_bytes).unwrap();
        let third = Wal::open(dir.path().join("c"), over(Config::durable())).unwrap();
        ship(&copy, &third, max_bytes).unwrap();
        fill(&source, 130);
        source.sync().unwrap();
        ship(&source, &third, max_bytes).unwrap();
        assert_eq!(entries(&third), entries(&source));
    }
}

#[test]
fn frames_that_come_again_or_too_early() {
    let (dir, source, copy) = pair();
    fill(&source, 30);
    source.sync().unwrap();
    let all = source.frames(1, 1 << 20).unwrap().unwrap();
    let first = source.frames(1, 400).unwrap().unwrap();
    let end = first.seqs().end;
    assert!(end < 25);
    assert_eq!(copy.append_frames(&first).unwrap(), 1..end);
    assert_eq!(copy.append_frames(&first).unwrap(), end..end);
    let late = source.frames(25, 1 << 20).unwrap().unwrap();
    let error = copy.append_frames(&late).unwrap_err();
    assert_eq!((error.kind(), error.seq()), (ErrorKind::Gap, Some(end)), "{error}");
    assert_eq!(copy.append_frames(&all).unwrap(), end..31, "only the rest is new");
    assert_eq!(entries(&copy), entries(&source));
    assert!(source.frames(31, 1).unwrap().is_none());
    assert_eq!(source.frames(32, 1).unwrap_err().kind(), ErrorKind::BeyondEnd);
    source.truncate_front(20).unwrap();
    assert!(source.frames(3, 1).unwrap_err().is_removed());
    // What comes once more and was removed here since is no other history, in whichever epoch it was.
    copy.truncate_back(24).unwrap();
    fill(&copy, 30);
    copy.truncate_front(26).unwrap();
    copy.close().unwrap();
    let config = over(Config::durable()).segment_size(450);
    let copy = Wal::open(dir.path().join("b"), config).unwrap();
    assert_eq!(copy.append_frames(&first).unwrap(), end..end);
    // A new copy begins where the source does.
    copy.reset(20).unwrap();
    ship(&source, &copy, 200).unwrap();
    assert_eq!(entries(&copy), entries(&source));
}

#[test]
fn where_histories_part_is_told_and_mended() {
    let (_dir, source, copy) = pair();
    fill(&source, 20);
    source.sync().unwrap();
    ship(&source, &copy, 1 << 20).unwrap();
    source.truncate_back(12).unwrap();
    // The same bytes are another history all the same.
    fill(&source, 40);
    source.sync().unwrap();
    for (from, kind, seq) in [
        (13, ErrorKind::Diverged, 13),
        (20, ErrorKind::Diverged, 13),
        (21, ErrorKind::Diverged, 13),
        (35, ErrorKind::Gap, 21),
    ] {
        let frames = source.frames(from, 100).unwrap().unwrap();
        let error = copy.append_frames(&frames).unwrap_err();
        assert_eq!((error.kind(), error.seq()), (kind, Some(seq)), "{from}: {error}");
    }
    assert_eq!(copy.next_seq(), 21, "nothing happened");
    copy.truncate_back(12).unwrap();
    ship(&source, &copy, 300).unwrap();
    assert_eq!(entries(&copy), entries(&source));
}

#[test]
fn what_a_copy_appends_itself_is_its_own_history() {
    for separate in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let format =
            if separate { walden::BatchFormat::Separate } else { walden::BatchFormat::Packed };
        let source = Wal::open(dir.path().join("a"), over(Config::durable())).unwrap();
        let copy =
            Wal::open(dir.path().join("b"), over(Config::durable()).batch_format(format)).unwrap();
        fill(&source, 10);
        ship(&source, &copy, 1 << 20).unwrap();
        // The same bytes on both sides: only the epochs can tell.
        source.append_batch(["x", "y"]).unwrap();
        copy.append_batch(["x", "y"]).unwrap();
        source.append("z").unwrap();
        let frames = source.frames(11, 1 << 20).unwrap().unwrap();
        let error = copy.append_frames(&frames).unwrap_err();
        assert_eq!((error.kind(), error.seq()), (ErrorKind::Diverged, Some(11)), "{error}");
        copy.truncate_back(10).unwrap();
        assert_eq!(copy.append_frames(&frames).unwrap(), 11..14);
        assert_eq!(entries(&copy), entries(&source));
    }
}

/// Another payload in the first record, every checksum put right.
fn forged(frames: &Frames) -> Frames {
    let mut bytes = frames.to_bytes();
    let epochs = u32::from_le_bytes(bytes[48..52].try_into().unwrap()) as usize;
    let at = 64 + 24 * epochs;
    let len = u64::from_be_bytes(bytes[at + 4..at + 12].try_into().unwrap()) as usize & 0xffff;
    bytes[at + 19 + len] ^= 1;
    let crc = crc32c::crc32c(&bytes[at + 4..at + 20 + len]);
    bytes[at..at + 4].copy_from_slice(&crc.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    Frames::from_bytes(bytes).unwrap()
}

#[test]
fn other_bytes_under_the_same_seq_id_are_told() {
    let (_dir, source, copy) = pair();
    fill(&source, 10);
    source.sync().unwrap();
    ship(&source, &copy, 1 << 20).unwrap();
    for from in [4, 7] {
        let frames = forged(&source.frames(from, 1).unwrap().unwrap());
        let error = copy.append_frames(&frames).unwrap_err();
        let seq = (from == 4).then_some(4).or(error.seq());
        assert_eq!((error.kind(), error.seq()), (ErrorKind::Diverged, seq), "{error}");
    }
}

#[test]
fn bytes_that_are_no_frames_are_errors() {
    let (_dir, source, copy) = pair();
    fill(&source, 12);
    source.sync().unwrap();
    let bytes = source.frames(5, 400).unwrap().unwrap().to_bytes();
    for len in 0..bytes.len() {
        assert_eq!(
            Frames::from_bytes(bytes[..len].to_vec()).unwrap_err().kind(),
            ErrorKind::Corrupt
        );
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = Frames::from_bytes(flipped.clone()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported), "{error}");
        // Behind the outer checksum: an error, or frames that no log takes for what they are not.
        let crc = crc32c::crc32c(&flipped[16..]);
        flipped[12..16].copy_from_slice(&crc.to_le_bytes());
        if let Ok(frames) = Frames::from_bytes(flipped) {
            assert_eq!(copy.append_frames(&frames).unwrap_err().kind(), ErrorKind::Gap);
        }
    }
}

#[test]
fn a_follower_ships_while_the_source_is_written_and_cut() {
    let (_dir, source, copy) = pair();
    let mut follower = source.follow(1).unwrap().in_frames(2000);
    let writer = {
        let source = source.clone();
        std::thread::spawn(move || {
            for round in 1..=20_u64 {
                fill(&source, round * 50);
                source.sync().unwrap();
                if round.is_multiple_of(5) {
                    source.truncate_back(round * 50 - 20).unwrap();
                }
            }
            fill(&source, 1000);
            source.append("last").unwrap();
            source.sync().unwrap();
        })
    };
    loop {
        match follower.next_timeout(Duration::from_secs(60)).unwrap().expect("news") {
            Event::Frames(frames) => match copy.append_frames(&frames) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Diverged => {
                    copy.truncate_back(error.seq().unwrap() - 1).unwrap();
                    copy.append_frames(&frames).unwrap();
                }
                Err(error) => panic!("{error}"),
            },
            Event::Truncated { at } if at < copy.next_seq() => copy.truncate_back(at - 1).unwrap(),
            Event::Truncated { .. } => {}
            other => panic!("{other:?}"),
        }
        let last = copy.last_seq().and_then(|seq| copy.get(seq).unwrap());
        if last.is_some_and(|last| last.payload == "last") {
            break;
        }
    }
    writer.join().unwrap();
    assert_eq!(entries(&copy), entries(&source));
}

/// A copy on a simulated disk, with what it must hold.
struct Copy {
    disk: SimDisk,
    clock: SimClock,
    wal: Option<Wal>,
    model: Vec<Vec<u8>>,
}

impl Copy {
    fn config() -> Config {
        over(Config::durable()).segment_size(300).maintenance(Maintenance::Manual)
    }

    fn open(&mut self) -> Result<(), Error> {
        self.wal = None;
        let (disk, clock) = (Arc::new(self.disk.clone()), Arc::new(self.clock.clone()));
        self.wal = Some(Wal::open_with(Path::new("/copy"), Self::config(), disk, clock)?);
        Ok(())
    }

    /// The power fails, and comes back: what is found lies between what was there `before` the last operation
    /// and what the model says it made of it.
    fn crash(&mut self, before: &[Vec<u8>], seed: u64, plan: u64) {
        self.wal = None;
        self.disk = self.disk.crash(&mut CrashPlan::seeded(plan));
        self.open().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let found = self.found();
        let (old, new) = (before, &self.model);
        let fits = |all: &[Vec<u8>]| all.starts_with(&found);
        let least = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        assert!(fits(new) || fits(old), "seed {seed}: {found:?} of {old:?} or {new:?}");
        assert!(found.len() >= least, "seed {seed}: {least} were durable, {found:?}");
        self.model = found;
    }

    fn found(&self) -> Vec<Vec<u8>> {
        entries(self.wal.as_ref().unwrap()).into_iter().map(|(_, payload)| payload).collect()
    }
}

/// One history: the source goes on, is cut, the copy takes frames, appends itself, is cut, is opened again;
/// at some call the power fails.
fn history(seed: u64) {
    let mut rng = Rng::new(seed);
    let clock = SimClock::new(seed);
    let source_disk = SimDisk::with_clock(clock.clone());
    let config = over(Config::durable()).segment_size(400).maintenance(Maintenance::Manual);
    let (disk, times) = (Arc::new(source_disk), Arc::new(clock.clone()));
    let source = Wal::open_with(Path::new("/source"), config, disk, times).unwrap();
    let disk = SimDisk::with_clock(clock.clone());
    let mut copy = Copy { disk, clock, wal: None, model: Vec::new() };
    copy.open().unwrap();
    if rng.chance(0.9) {
        copy.disk.stop_after(1 + rng.below(400));
    }
    let mut fresh = 0;
    for _ in 0..25 {
        let before = copy.model.clone();
        let wal = copy.wal.take().unwrap();
        let result = match rng.below(8) {
            0..3 => {
                for _ in 0..1 + rng.below(3) {
                    fresh += 1;
                    let batch = (0..1 + rng.below(3)).map(|i| format!("source {fresh} {i}"));
                    source.append_batch(batch).unwrap();
                }
                if rng.chance(0.2) {
                    source.truncate_back(rng.below(source.next_seq())).unwrap();
                }
                copy.wal = Some(wal);
                Ok(())
            }
            3..6 => {
                let result = take_frames(&mut copy.model, &source, &wal, 1 + rng.below(300));
                copy.wal = Some(wal);
                result
            }
            6 => {
                fresh += 1;
                copy.model.push(format!("own {fresh}").into_bytes());
                let result = wal.append(copy.model.last().unwrap());
                copy.wal = Some(wal);
                result.map(|_| ())
            }
            _ => {
                drop(wal);
                copy.open()
            }
        };
        let before = if result.is_ok() { copy.model.clone() } else { before };
        if let Err(error) = &result {
            assert!(copy.disk.stopped(), "seed {seed}: {error}");
        }
        if copy.disk.stopped() {
            copy.crash(&before, seed, rng.next_u64());
        }
        assert_eq!(copy.found(), copy.model, "seed {seed}");
    }
    // In the end the copy can always be made one again.
    let wal = copy.wal.clone().unwrap();
    copy.disk.clear_faults();
    for _ in 0..100 {
        if copy.disk.stopped() {
            return;
        }
        if wal.next_seq() >= source.next_seq() && copy.found() == payloads(&source) {
            return;
        }
        take_frames(&mut copy.model, &source, &wal, 500)
            .unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
    panic!("seed {seed}: the copy never became one");
}

fn payloads(wal: &Wal) -> Vec<Vec<u8>> {
    entries(wal).into_iter().map(|(_, payload)| payload).collect()
}

/// Takes frames from where the copy ends, or cuts it back where it is told to.
fn take_frames(
    model: &mut Vec<Vec<u8>>,
    source: &Wal,
    wal: &Wal,
    max_bytes: u64,
) -> Result<(), Error> {
    let theirs = payloads(source);
    if wal.next_seq() > source.next_seq() {
        model.truncate(theirs.len());
        return wal.truncate_back(source.next_seq() - 1);
    }
    let same = model.iter().zip(&theirs).take_while(|(a, b)| a == b).count() as u64;
    // One before the end, so that there is something to compare with.
    let from = wal.next_seq().saturating_sub(1).max(1);
    let Some(frames) = source.frames(from, max_bytes)? else { return Ok(()) };
    let end = (frames.seqs().end - 1).max(model.len() as u64) as usize;
    if same == model.len() as u64 {
        *model = theirs[..end].to_vec();
    }
    match wal.append_frames(&sent(&frames)) {
        Err(error) if error.kind() == ErrorKind::Diverged => {
            let at = error.seq().unwrap();
            assert!(same < wal.next_seq() - 1 || wal.next_seq() == 1, "they are the same: {error}");
            assert!(at <= same + 1, "{at}: they are the same up to {same}: {error}");
            model.truncate(at as usize - 1);
            wal.truncate_back(at - 1)
        }
        other => other.map(|_| ()),
    }
}

#[test]
fn a_copy_survives_any_crash_as_a_beginning() {
    let count = std::env::var("WALDEN_SEEDS").map_or(400, |n| n.parse().unwrap());
    let seed = std::env::var("WALDEN_SEED").ok().map(|seed| seed.parse().unwrap());
    for seed in seed.map_or(0..count, |seed: u64| seed..seed + 1) {
        history(seed);
    }
}

/// An epoch that counts again must not bring back a mark of what was cut since: it would name bytes that are
/// gone, and a sound log would be called damaged.
#[test]
fn a_mark_of_an_epoch_that_comes_back_does_not_count() {
    let (_dir, source, _) = pair();
    fill(&source, 40);
    source.sync().unwrap();
    for stop in 1.. {
        let clock = SimClock::new(stop);
        let disk = SimDisk::with_clock(clock.clone());
        let mut copy = Copy { disk, clock, wal: None, model: Vec::new() };
        copy.open().unwrap();
        let wal = copy.wal.take().unwrap();
        ship(&source, &wal, 100).unwrap();
        wal.truncate_back(10).unwrap();
        copy.disk.stop_after(stop);
        let shipped = ship(&source, &wal, 100);
        drop(wal);
        for plan in 0..6 {
            let mut found = Copy {
                disk: copy.disk.crash(&mut CrashPlan::seeded(plan)),
                clock: copy.clock.clone(),
                wal: None,
                model: Vec::new(),
            };
            found.open().unwrap_or_else(|error| panic!("stopped after {stop}: {error}"));
            let (found, all) = (found.found(), payloads(&source));
            assert!(found.len() >= 10 && all.starts_with(&found), "stopped after {stop}");
        }
        if shipped.is_ok() {
            assert!(stop > 10);
            return;
        }
    }
}

#[test]
fn what_frames_hold_can_be_looked_at() {
    let (dir, source, _) = pair();
    fill(&source, 60);
    source.close().unwrap();
    let source = Wal::open(dir.path().join("a"), over(Config::durable())).unwrap();
    fill(&source, 100);
    let frames = sent(&source.frames(1, 1 << 20).unwrap().unwrap());
    let held = |frames: &Frames| -> Vec<(u64, Vec<u8>)> {
        let entries = frames.entries(1 << 20).map(Result::unwrap);
        entries.map(|entry| (entry.seq, entry.payload.to_vec())).collect()
    };
    assert_eq!(held(&frames), entries(&source));
    let epochs = frames.epochs();
    assert!(epochs.len() == 2 && epochs[0].0 == 1 && epochs[1].0 == 61, "{epochs:?}");
    // A part of it, batches whole: 7..11 is one.
    for (wanted, given) in [(8..9, 7..11), (1..7, 1..7), (10..12, 7..12), (60..200, 60..101)] {
        let part = frames.within(wanted).unwrap();
        assert_eq!(part.seqs(), given);
        assert_eq!(sent(&part), source.frames(given.start, part.len()).unwrap().unwrap());
        assert_eq!(held(&part), entries(&source)[given.start as usize - 1..given.end as usize - 1]);
    }
    // What is left of a batch is a record each.
    for seq in [1, 8, 10, 60, 100] {
        let rest = sent(&frames.starting_at(seq, 1 << 20).unwrap().unwrap());
        assert_eq!(rest.seqs(), seq..101);
        assert_eq!(held(&rest), entries(&source)[seq as usize - 1..]);
    }
    assert_eq!(frames.starting_at(101, 1 << 20).unwrap(), None);
    assert_eq!(frames.within(1..7).unwrap().epochs(), epochs[..1]);
    assert!(frames.within(101..200).is_none() && frames.within(5..5).is_none());
}

fn micros(time: std::time::SystemTime) -> u128 {
    time.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_micros()
}

#[test]
fn append_times_are_those_of_the_index() {
    let clock = SimClock::new(1);
    let disk = SimDisk::with_clock(clock.clone());
    let config = Config::durable().maintenance(Maintenance::Manual).segment_size(4_000);
    let wal = Wal::open_with("/log", config, Arc::new(disk), Arc::new(clock.clone())).unwrap();
    let mut appended = Vec::new();
    for seq in 1..=300 {
        clock.advance(Duration::from_secs(1));
        wal.append(payload(seq)).unwrap();
        wal.tick().unwrap();
        appended.push(micros(walden::storage::Clock::now(&clock)));
    }
    let times = wal.append_times(1..301);
    assert!(times.len() >= 300 / 32 && times.is_sorted());
    for (seq, at) in &times {
        assert_eq!(micros(*at), appended[*seq as usize - 1], "{seq}");
    }
    let some = wal.append_times(100..200);
    let within = times.into_iter().filter(|(seq, _)| (100..200).contains(seq));
    assert!(!some.is_empty() && within.eq(some));
    assert!(wal.append_times(301..400).is_empty());
}

#[test]
fn all_of_it_over_mapped_files() {
    engine::rerun_over_mapped_files("all_of_it_over_mapped_files");
}

/// Sent again while the first ones wait for room, frames are told so, and not that they are another history.
#[test]
fn what_waits_for_room_is_not_diverged() {
    let disk = SimDisk::new();
    disk.set_allocate_supported(false);
    let config = Config::os_cache().maintenance(Maintenance::Manual);
    let open = |disk: &SimDisk| {
        let (storage, clock) = (Arc::new(disk.clone()), Arc::new(SimClock::new(1)));
        Wal::open_with(Path::new("/log"), config.clone(), storage, clock).unwrap()
    };
    let (source, copy) = (open(&SimDisk::new()), open(&disk));
    let all = || {
        source.sync().unwrap();
        source.frames(1, 1 << 20).unwrap().unwrap()
    };
    source.append(vec![1; 5000]).unwrap();
    copy.append_frames(&all()).unwrap();
    source.append(vec![2; 5000]).unwrap();
    source.append(vec![3; 5000]).unwrap();
    let frames = all();
    disk.set_capacity(Some(disk.used()));
    for _ in 0..2 {
        let error = copy.append_frames(&frames).unwrap_err();
        assert!(error.is_out_of_space(), "{error}");
    }
    disk.set_capacity(None);
    copy.append_frames(&frames).unwrap();
    assert_eq!(entries(&copy), entries(&source));
}
