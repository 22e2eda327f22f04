//! What each thread does until it is told to stop.

use std::sync::atomic::Ordering;
use std::time::Duration;

use walden::{Error, ErrorKind, Event, Follower, LogReader};
use walden_sim::Rng;

use super::{Progress, Shared};
use crate::Outcome;
use crate::model::META;
use crate::payload::Proof;

type Work = fn(&Shared, &Progress, &mut Rng) -> Outcome<()>;

pub(super) const ALL: &[(&str, Work)] = &[
    ("first writer", writer),
    ("second writer", writer),
    ("third writer", writer),
    ("writer of batches", batches),
    ("writer with tickets", tickets),
    ("first reader", forward),
    ("second reader", forward),
    ("reader backward", backward),
    ("reader at random", random),
    ("reader of the files", files),
    ("reader of the files that is kept", kept_files),
    ("first follower", follower),
    ("follower of what is durable", durable_follower),
    ("follower of the files", files_follower),
    ("cutter", cutter),
];

impl Shared {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

impl Progress {
    fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    fn entry(&self) {
        self.entries.fetch_add(1, Ordering::Relaxed);
    }
}

/// Errors that a cut or retention gives to those who stand in its way.
fn is_cut(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Truncated | ErrorKind::Removed | ErrorKind::BeyondEnd | ErrorKind::OutOfRange
    )
}

fn unless_cut<T>(result: walden::Result<T>) -> Outcome<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_cut(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Appends, and reads its own entry back: it is there, unless something was cut meanwhile.
fn writer(shared: &Shared, progress: &Progress, _: &mut Rng) -> Outcome<()> {
    while shared.goes_on() {
        progress.step();
        let proof = Proof::single(shared.number.fetch_add(1, Ordering::Relaxed));
        let before = shared.cuts.load(Ordering::SeqCst);
        let Some(seq) = unless_cut(shared.wal.append(proof.payload()))? else { continue };
        progress.entry();
        let Some(found) = unless_cut(shared.wal.get(seq))? else { continue };
        if before.is_multiple_of(2) && shared.cuts.load(Ordering::SeqCst) == before {
            let found = found.map(|entry| Proof::of(&entry.payload)).transpose()?;
            if found != Some(proof) {
                return Err(format!("seq id {seq} is {found:?}, not {proof:?}").into());
            }
        }
    }
    Ok(())
}

fn batches(shared: &Shared, progress: &Progress, rng: &mut Rng) -> Outcome<()> {
    while shared.goes_on() {
        progress.step();
        let count = 2 + rng.below(20);
        let number = shared.number.fetch_add(count, Ordering::Relaxed);
        let members = Proof::batch(number, u16::try_from(count)?);
        if unless_cut(shared.wal.append_batch(members.map(Proof::payload)))?.is_some() {
            progress.entries.fetch_add(count, Ordering::Relaxed);
        }
        std::thread::sleep(Duration::from_micros(rng.below(500)));
    }
    Ok(())
}

fn tickets(shared: &Shared, progress: &Progress, rng: &mut Rng) -> Outcome<()> {
    while shared.goes_on() {
        progress.step();
        let mut flying = Vec::new();
        for _ in 0..1 + rng.below(16) {
            let proof = Proof::single(shared.number.fetch_add(1, Ordering::Relaxed));
            flying.extend(unless_cut(shared.wal.submit(proof.payload()))?);
        }
        for ticket in flying {
            if unless_cut(ticket.wait())?.is_some() {
                progress.entry();
            }
        }
    }
    Ok(())
}

/// Checks that entries come one after the other, each as it was appended.
fn check(
    entry: &walden::Entry,
    expected: &mut Option<u64>,
    next: impl Fn(u64) -> u64,
) -> Outcome<()> {
    if expected.is_some_and(|seq| seq != entry.seq) {
        return Err(format!("seq id {}, where {expected:?} should come", entry.seq).into());
    }
    Proof::of(&entry.payload).map_err(|why| format!("seq id {}: {why}", entry.seq))?;
    *expected = Some(next(entry.seq));
    Ok(())
}

fn forward(shared: &Shared, progress: &Progress, _: &mut Rng) -> Outcome<()> {
    while shared.goes_on() {
        progress.step();
        let Some(range) = unless_cut(shared.wal.range(..))? else { continue };
        let mut expected = None;
        for entry in range {
            let Some(entry) = unless_cut(entry)? else { break };
            check(&entry, &mut expected, |seq| seq + 1)?;
            progress.entry();
            progress.step();
        }
    }
    Ok(())
}

fn backward(shared: &Shared, progress: &Progress, _: &mut Rng) -> Outcome<()> {
    while shared.goes_on() {
        progress.step();
        let Some(range) = unless_cut(shared.wal.range(..))? else { continue };
        let mut expected = None;
        for entry in range.rev().take(2000) {
            let Some(entry) = unless_cut(entry)? else { break };
            check(&entry, &mut expected, |seq| seq.wrapping_sub(1))?;
            progress.entry();
            progress.step();
        }
    }
    Ok(())
}

fn random(shared: &Shared, progress: &Progress, rng: &mut Rng) -> Outcome<()> {
    while shared.goes_on() {
        progress.step();
        let (first, next) = (shared.wal.first_seq(), shared.wal.next_seq());
        let seq = first + rng.below(next.saturating_sub(first));
        if let Some(Some(entry)) = unless_cut(shared.wal.get(seq))? {
            check(&entry, &mut Some(seq), |seq| seq)?;
            progress.entry();
        }
    }
    Ok(())
}

/// As another process would: without the log, by its files.
fn files(shared: &Shared, progress: &Progress, _: &mut Rng) -> Outcome<()> {
    while shared.goes_on() {
        progress.step();
        let reader = match LogReader::open(&shared.setup.dir) {
            Ok(reader) => reader,
            // Cut over and over while it was looked at.
            Err(error) if error.kind() == ErrorKind::Busy || is_cut(&error) => continue,
            Err(error) => return Err(error.into()),
        };
        let Some(range) = unless_cut(reader.range(..))? else { continue };
        let mut expected = None;
        for entry in range {
            let Some(entry) = unless_cut(entry)? else { break };
            check(&entry, &mut expected, |seq| seq + 1)?;
            progress.entry();
            progress.step();
        }
    }
    Ok(())
}

/// Opened once, and never again: it looks at the log anew, over and over, and goes on where it was.
fn kept_files(shared: &Shared, progress: &Progress, _: &mut Rng) -> Outcome<()> {
    let Some(reader) = kept_reader(shared)? else { return Ok(()) };
    let mut at = reader.first_seq();
    while shared.goes_on() {
        progress.step();
        let (cuts, durable) = (shared.cuts.load(Ordering::SeqCst), shared.wal.durable_seq());
        if unless_busy(reader.refresh())?.is_none() {
            continue;
        }
        let no_cut = cuts.is_multiple_of(2) && shared.cuts.load(Ordering::SeqCst) == cuts;
        if no_cut && reader.next_seq() <= durable {
            let next = reader.next_seq();
            return Err(
                format!("{durable} was durable, and then the files end before {next}").into()
            );
        }
        at = at.min(reader.next_seq()).max(reader.first_seq());
        let Some(range) = unless_busy(reader.range(at..))? else { continue };
        let mut expected = Some(at);
        for entry in range {
            let Some(entry) = unless_busy(entry)? else { break };
            check(&entry, &mut expected, |seq| seq + 1)?;
            progress.entry();
            progress.step();
            if !shared.goes_on() {
                break;
            }
        }
        at = expected.unwrap_or(at);
    }
    has_read(progress)
}

fn kept_reader(shared: &Shared) -> Outcome<Option<LogReader>> {
    while shared.goes_on() {
        if let Some(reader) = unless_busy(LogReader::open(&shared.setup.dir))? {
            return Ok(Some(reader));
        }
    }
    Ok(None)
}

/// As [`unless_cut`], of who goes by the files: what is cut over and over while it is looked at is looked at again.
fn unless_busy<T>(result: walden::Result<T>) -> Outcome<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::Busy => Ok(None),
        other => unless_cut(other),
    }
}

fn has_read(progress: &Progress) -> Outcome<()> {
    match progress.entries.load(Ordering::Relaxed) {
        0 => Err("it has not read a single entry".into()),
        _ => Ok(()),
    }
}

fn follower(shared: &Shared, progress: &Progress, _: &mut Rng) -> Outcome<()> {
    follow(shared, progress, || unless_cut(shared.wal.follow(shared.wal.first_seq())))
}

fn durable_follower(shared: &Shared, progress: &Progress, _: &mut Rng) -> Outcome<()> {
    let begin = || unless_cut(shared.wal.follow(shared.wal.first_seq()));
    follow(shared, progress, || Ok(begin()?.map(Follower::durable_only)))
}

/// By the files, through one reader that is opened once.
fn files_follower(shared: &Shared, progress: &Progress, _: &mut Rng) -> Outcome<()> {
    let Some(reader) = kept_reader(shared)? else { return Ok(()) };
    follow(shared, progress, || {
        let looked = unless_busy(reader.refresh())?;
        if looked.is_none() {
            return Ok(None);
        }
        unless_busy(reader.follow(reader.first_seq()))
    })?;
    has_read(progress)
}

fn follow(
    shared: &Shared,
    progress: &Progress,
    begin: impl Fn() -> Outcome<Option<Follower>>,
) -> Outcome<()> {
    while shared.goes_on() {
        progress.step();
        let Some(mut follower) = begin()? else { continue };
        let mut expected = None;
        while shared.goes_on() {
            progress.step();
            match unless_busy(follower.next_timeout(Duration::from_millis(20)))? {
                Some(Some(Event::Entry(entry))) => {
                    check(&entry, &mut expected, |seq| seq + 1)?;
                    progress.entry();
                }
                Some(Some(Event::Truncated { at })) => expected = Some(at),
                Some(_) => {}
                // Overtaken by a cut in front: begins anew.
                None => break,
            }
        }
    }
    Ok(())
}

/// Cuts at both ends, metadata, syncs; retention works beside it by itself.
fn cutter(shared: &Shared, progress: &Progress, rng: &mut Rng) -> Outcome<()> {
    let wal = &shared.wal;
    while shared.goes_on() {
        progress.step();
        std::thread::sleep(Duration::from_millis(rng.below(20)));
        let (first, next) = (wal.first_seq(), wal.next_seq());
        let done = match rng.below(10) {
            0..4 => wal.truncate_front(first + rng.below(next - first) / 2),
            4 => {
                shared.cuts.fetch_add(1, Ordering::SeqCst);
                let done =
                    wal.truncate_back((next - 1).saturating_sub(rng.below(20)).max(first - 1));
                shared.cuts.fetch_add(1, Ordering::SeqCst);
                done
            }
            5..8 => wal.set_meta(META, rng.next_u64().to_le_bytes()),
            _ => wal.sync(),
        };
        unless_cut(done)?;
        progress.entry();
    }
    Ok(())
}
