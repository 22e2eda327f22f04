//! What is asked of a folder, whatever is in it, and what must hold of the answers.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use walden::offline::{self, Choice, Target};
use walden::{Entry, Error, ErrorKind, LogReader, RecoveryMode, Result, Wal};
use walden_sim::{SimClock, SimDisk};

use crate::logs::{DIR, Entries, Made, open, reader};
use crate::pieces::{LEN_MASK, PACKED};

/// What may be handed out: each entry of a record that has a right checksum, wherever it lies.
#[derive(Debug, Default)]
struct Proved {
    entries: BTreeSet<(u64, Vec<u8>)>,
    /// Seq ids of compressed records, whose entries are not known here.
    open: Vec<Range<u64>>,
}

impl Proved {
    fn of(disk: &SimDisk) -> Self {
        let mut proved = Self::default();
        for path in disk.files() {
            if path.extension().is_some_and(|e| e == "wal" || e == "next") {
                let bytes = disk.read_file(&path).unwrap();
                (0..bytes.len()).for_each(|at| proved.take(&bytes[at..]));
            }
        }
        proved
    }

    fn take(&mut self, bytes: &[u8]) {
        let Some(header) = bytes.first_chunk::<20>() else { return };
        let size = u64::from_be_bytes(header[4..12].try_into().unwrap());
        let seq = u64::from_be_bytes(header[12..].try_into().unwrap());
        let len = size & LEN_MASK;
        if len > (bytes.len() - 20) as u64 {
            return;
        }
        let end = 20 + len as usize;
        if crc32c::crc32c(&bytes[4..end]).to_be_bytes() != header[..4] {
            return;
        }
        let payload = &bytes[20..end];
        let count = payload.first_chunk::<4>().map_or(0, |count| u32::from_be_bytes(*count));
        if size >> 56 & 7 != 0 {
            let count = if size & PACKED == 0 { 1 } else { u64::from(count) };
            self.open.push(seq..seq.saturating_add(count));
        } else if size & PACKED == 0 {
            self.entries.insert((seq, payload.to_vec()));
        } else {
            self.take_batch(seq, count as usize, &payload[4.min(payload.len())..]);
        }
    }

    fn take_batch(&mut self, seq: u64, count: usize, rest: &[u8]) {
        let Some((ends, bytes)) = count.checked_mul(4).and_then(|len| rest.split_at_checked(len))
        else {
            return;
        };
        let mut start = 0;
        for (i, end) in ends.chunks_exact(4).enumerate() {
            let end = u32::from_be_bytes(end.try_into().unwrap()) as usize;
            if let Some(entry) = bytes.get(start..end) {
                self.entries.insert((seq.saturating_add(i as u64), entry.to_vec()));
            }
            start = end;
        }
    }

    #[track_caller]
    fn has(&self, seq: u64, payload: &[u8]) {
        assert!(
            self.entries.contains(&(seq, payload.to_vec()))
                || self.open.iter().any(|range| range.contains(&seq)),
            "seq id {seq} was handed out with {} bytes that no sound record has",
            payload.len()
        );
    }
}

/// What an iterator gives before its error, and the error. Seq ids grow by one.
fn drain(
    entries: impl Iterator<Item = Result<Entry>>,
    proved: &Proved,
    step: i64,
) -> (Entries, Option<Error>) {
    let mut found = Entries::new();
    for entry in entries {
        match entry {
            Ok(entry) => {
                proved.has(entry.seq, &entry.payload);
                if let Some((last, _)) = found.last() {
                    assert_eq!(Some(entry.seq), last.checked_add_signed(step), "a silent gap");
                }
                found.push((entry.seq, entry.payload.to_vec()));
            }
            Err(error) => return (found, Some(error)),
        }
    }
    (found, None)
}

/// Opened in each mode, read in each way, asked by each tool: nothing panics, nothing is handed out that no
/// sound record has, and the answers agree with each other.
///
/// Where a checksum was `forged`, the tools need not make a log of it that opens.
pub(crate) fn everything(disk: &SimDisk, forged: bool) {
    let proved = Proved::of(disk);
    if let Ok(log) = reader(disk, DIR) {
        ask_reader(&log, &proved);
    }
    let sound = ask_tools(disk, &proved, forged);
    let strict = ask_writer(disk, RecoveryMode::Strict, &proved);
    let lenient = ask_writer(disk, RecoveryMode::TruncateTail, &proved);
    if let Err(error) = &lenient
        && refers_to_tools(error)
    {
        assert!(!sound || forged, "refused, and sound to whom it refers to: {error}");
    }
    if let Ok(strict) = strict {
        let lenient = lenient.expect("what opens strictly opens");
        assert!(strict == lenient, "strictly there are other entries");
    }
}

fn ask_reader(log: &LogReader, proved: &Proved) {
    // The file may be shorter than what its manifest and index say, which is found here.
    let (Ok(entries), Ok(back)) = (log.range(..), log.range(..)) else { return };
    let (forward, error) = drain(entries, proved, 1);
    if error.is_none() {
        assert_eq!(
            forward.len() as u64,
            log.next_seq().saturating_sub(log.first_seq()),
            "a silent gap"
        );
    }
    let (mut backward, back_error) = drain(back.rev(), proved, -1);
    backward.reverse();
    if error.is_none() && back_error.is_none() {
        assert!(forward == backward, "backward there is something else");
    }
    for seq in
        [log.first_seq(), log.first_seq() + log.next_seq().saturating_sub(log.first_seq()) / 2]
    {
        if let Ok(Some(entry)) = log.get(seq) {
            assert_eq!(entry.seq, seq);
            proved.has(seq, &entry.payload);
        }
    }
    drop(log.segments());
    for seconds in [0, 1_700_000_000, u64::from(u32::MAX)] {
        let mut at = log.reader();
        if at.seek_time(UNIX_EPOCH + Duration::from_secs(seconds)).is_ok()
            && let Ok(Some(entry)) = at.read_next()
        {
            proved.has(entry.seq, entry.payload);
        }
    }
    drop(log.frames(log.first_seq(), 1000));
    follow(log, proved, forward.len());
    drop(log.refresh());
}

fn follow(log: &LogReader, proved: &Proved, at_most: usize) {
    let Ok(mut follower) = log.follow(log.first_seq()) else { return };
    for _ in 0..=at_most {
        match follower.try_next() {
            Ok(Some(walden::Event::Entry(entry))) => proved.has(entry.seq, &entry.payload),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return,
        }
    }
}

fn files(disk: &SimDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let files = disk.files().into_iter();
    files.map(|path| (path.clone(), disk.read_file(&path).unwrap())).collect()
}

pub(crate) fn target(disk: &SimDisk) -> Target {
    Target::new(DIR, "segment", Arc::new(disk.clone()), Arc::new(SimClock::new(98)))
}

/// Whether they say that it is sound.
fn ask_tools(disk: &SimDisk, proved: &Proved, forged: bool) -> bool {
    let (disk, before) = (disk.fork(), files(disk));
    let log = target(&disk);
    drop(offline::inspect(&log));
    let verified = offline::verify(&log, &mut |_| {});
    let plan = offline::repair_plan(&log, &mut |_| {});
    assert_eq!(verified.is_ok(), plan.is_ok(), "both read the same");
    assert!(before == files(&disk), "looking changed something");
    if let Ok(saved) = offline::salvage(&log, "/saved", &mut |_| {}) {
        for run in saved.runs {
            let log = reader(&disk, &run.dir).expect("what was saved opens");
            let (found, error) = drain(log.range(..).unwrap(), proved, 1);
            // Records are saved as they are stored: to read them may need a codec that is not compiled in.
            if error.as_ref().is_some_and(|error| error.kind() == ErrorKind::Unsupported) {
                continue;
            }
            assert!(error.is_none(), "what was saved is sound: {error:?}");
            assert_eq!(found.len() as u64, run.next_seq - run.first_seq);
        }
    }
    if offline::copy(&log, "/copy", &mut |_| {}).is_ok()
        && let Ok(log) = reader(&disk, "/copy")
        && let Ok(entries) = log.range(..)
    {
        drop(drain(entries, proved, 1));
    }
    let Ok(plan) = plan else { return false };
    let sound = verified.is_ok_and(|verified| !verified.is_damaged());
    assert_eq!(sound, !plan.is_damaged(), "the plan and the verification disagree");
    let mut choices = vec![Choice::Safe { first_seq: None }];
    for damage in plan.damages.iter().take(2) {
        if let Some((first, last)) = damage.lost {
            choices.push(Choice::AcceptLoss(first..=last));
            choices.push(Choice::CutAt(first));
        }
    }
    for choice in choices {
        ask_repair(&disk.fork(), choice, proved, forged);
    }
    sound
}

/// Else it says itself what to do.
fn refers_to_tools(error: &Error) -> bool {
    let advice = error.what_to_do().unwrap_or("walden verify");
    advice.contains("walden verify") || advice.contains("walden repair")
}

fn ask_repair(disk: &SimDisk, choice: Choice, proved: &Proved, forged: bool) {
    let Ok(done) = offline::repair_apply(&target(disk), choice, &mut |_| {}) else { return };
    if let Err(error) = ask_writer(disk, RecoveryMode::TruncateTail, proved) {
        assert!(
            forged || done.still_damaged || !refers_to_tools(&error),
            "repaired, and does not open: {error} after {done:?}"
        );
    }
}

/// The entries that a writer finds up to the first error.
///
/// What it appends is there when it is opened again, behind the same entries.
fn ask_writer(disk: &SimDisk, mode: RecoveryMode, proved: &Proved) -> Result<Entries> {
    let disk = disk.fork();
    let log = open(&disk, mode)?;
    let (found, error) = match log.range(..) {
        Ok(entries) => drain(entries, proved, 1),
        Err(error) => (Entries::new(), Some(error)),
    };
    if error.is_none() {
        assert_eq!(
            found.len() as u64,
            log.next_seq().saturating_sub(log.first_seq()),
            "a silent gap"
        );
    }
    drop(log.recovery());
    drop(log.tick());
    let appended = log.append(b"goes on");
    drop(log.set_meta("vote", "term 8"));
    let closed = log.close();
    drop(log);
    if closed.is_ok() {
        let proved = Proved::of(&disk);
        again(&disk, &proved, (&found, error.is_none()), appended.ok());
    }
    Ok(found)
}

fn again(disk: &SimDisk, proved: &Proved, (found, whole): (&Entries, bool), appended: Option<u64>) {
    let log = match open(disk, RecoveryMode::Strict) {
        Ok(log) => log,
        Err(error) => panic!("closed cleanly, and does not open again: {error}"),
    };
    if let Some(seq) = appended {
        match log.get(seq) {
            Ok(found) => {
                let entry = found.expect("what was appended is there");
                assert_eq!(&entry.payload[..], b"goes on");
            }
            // Damage in front of it may be in the way, and is said; a forged manifest may begin behind it.
            Err(error) => assert!(!whole && error.is_corruption() || error.is_removed(), "{error}"),
        }
    }
    if whole {
        let (all, error) = drain(log.range(..).unwrap(), proved, 1);
        assert!(all.starts_with(found), "after another opening there is something else");
        assert!(all.len() <= found.len() + 1, "a ghost");
        // Bytes behind a complete segment's last record stood at the log's end before.
        if let Some(error) = error {
            let verified = offline::verify(&target(disk), &mut |_| {}).unwrap();
            assert!(verified.is_damaged(), "sound, and does not read: {error}");
        }
    }
    cut(&log);
}

/// Cutting at both ends, which may be refused.
fn cut(log: &Wal) {
    let (first, next) = (log.first_seq(), log.next_seq());
    let middle = first + next.saturating_sub(first) / 2;
    drop(log.truncate_back(middle));
    drop(log.truncate_front(middle));
    drop(log.reset(next));
    drop(log.append(b"goes on"));
}

/// The log has all its entries, however it is read; and goes on.
pub(crate) fn holds(made: &Made) {
    let Made { disk, entries } = made;
    let log = reader(disk, DIR).unwrap();
    let writer = open(disk, RecoveryMode::Strict).unwrap();
    let all: Entries = log
        .range(..)
        .unwrap()
        .map(|entry| entry.map(|entry| (entry.seq, entry.payload.to_vec())).unwrap())
        .collect();
    assert!(all == *entries, "by a reader");
    for (seq, payload) in entries {
        for found in [log.get(*seq), writer.get(*seq)] {
            assert_eq!(found.unwrap().unwrap().payload, *payload, "seq id {seq}");
        }
        let mut at = log.reader_at(*seq).unwrap();
        assert_eq!(at.read_next().unwrap().unwrap().payload, *payload);
        assert_eq!(at.read_prev().unwrap().unwrap().payload, *payload);
    }
    for seconds in [0, 1_700_000_000, 1_700_000_001] {
        let mut at = log.reader();
        at.seek_time(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        if let Some(entry) = at.read_next().unwrap() {
            assert!(entries.contains(&(entry.seq, entry.payload.to_vec())));
        }
    }
    let next = writer.next_seq();
    assert_eq!(writer.append(b"goes on").unwrap(), next);
    writer.close().unwrap();
}
