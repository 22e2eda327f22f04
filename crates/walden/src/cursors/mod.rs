//! Cursors: named positions that outlive the process, and hold retention back.
//!
//! * `slot`: where a cursor stands, as the bytes of a sector; what two of them amount to
//! * `file`: the file with two slots for each cursor
//! * `table`: all of an open log, in memory and on disk; what they hold back, and how they follow the log's epochs
//! * here: what users hold

pub(crate) mod file;
pub(crate) mod slot;
mod table;

use std::fmt;

pub(crate) use self::table::{Cursors, Hold, Stand};
use self::table::{Known, expired};
use crate::error::{Error, ErrorKind, Result};
use crate::log::Log;
use crate::read::{Follower, Reader};
use crate::snapshot::{Snapshot, View};
use crate::sync::Arc;
use crate::watermark::{refuse_in_callback, truncated};

/// Where a cursor begins that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Start {
    /// At the first entry that there is.
    First,
    /// Behind the last durable one.
    End,
    /// At this seq id.
    At(u64),
}

/// A named position in the log that outlives the process: how far a consumer has come.
///
/// [`commit`](Self::commit) says that an entry, and all before it, is done with. Retention keeps what comes after
/// the position that is on disk. Whoever has the cursor owns it; dropping it gives it free.
///
/// A commit is written to disk with the next [`Wal::sync`](crate::Wal::sync), else within one `sync_interval`, and
/// by closing. A crash before that sets the cursor back to where it was on disk: entries may come twice, none is
/// left out. Syncs of appends don't write it, so that a commit costs them nothing.
///
/// ```
/// # use walden::{Config, Event, Start, Wal};
/// # fn main() -> walden::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let wal = Wal::open(dir.path(), Config::durable())?;
/// # wal.append_batch(["a", "b", "c"])?;
/// let mailer = wal.cursor("mailer", Start::First)?;
/// let mut entries = mailer.follow()?; // from behind what is done with, for ever
/// while let Some(Event::Entry(entry)) = entries.try_next()? {
///     // send it; then:
///     mailer.commit(entry.seq)?;
/// }
/// assert_eq!(mailer.position(), 4);
/// # Ok(())
/// # }
/// ```
///
/// Where its position is no more, each use but [`position`](Self::position) says so, until
/// [`seek`](Self::seek) moves it on: `Truncated` (entries before it were cut, and others may have come in their
/// place), `Removed` (`truncate_front` went past it, which does as it is told), `Expired` (retention went past it,
/// by [`Config::cursor_cap`](crate::Config::cursor_cap)).
#[must_use = "dropping a cursor gives it free"]
pub struct Cursor {
    log: Arc<Log>,
    name: String,
    index: usize,
    /// Its place may be another one's by now.
    removed: bool,
}

/// A cursor as [`Wal::cursors`](crate::Wal::cursors) sees it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CursorInfo {
    /// Its name; empty where the cursor cannot be read.
    pub name: String,
    /// The seq id that comes next, as it is on disk: retention keeps what follows.
    pub position: u64,
    /// The seq id that comes next by what was committed, on disk or not.
    pub committed: u64,
    /// How many entries that is from the log's end, from the position on disk.
    pub lag: u64,
    /// Bytes of the segments from the one with the position on.
    pub lag_bytes: u64,
    /// Whether somebody has it.
    pub owned: bool,
    /// What its owner would be told: `Expired`, `Removed`, `Truncated`; `Corrupt` where it cannot be read, and so
    /// keeps retention from removing anything.
    pub problem: Option<Error>,
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor")
            .field("name", &self.name)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        if !self.removed {
            self.log.cursors.release(self.index);
        }
    }
}

impl Cursor {
    /// Whether a text can be a cursor's name: 1 to 64 letters (a to z, A to Z), digits, `_`, `-` and `.`, the last two
    /// not at the beginning. So it is safe as a word in a shell, a file's name or a metric's label.
    ///
    /// # Errors
    /// `InvalidInput`, which says what is wrong with it.
    pub fn check_name(name: &str) -> Result<()> {
        slot::name_problem(name).map_or(Ok(()), |problem| {
            Err(Error::invalid(format!("the cursor's name {name:?} {problem}")))
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The seq id that comes next: all before it is done with.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.known().map_or(0, |known| known.stand.position)
    }

    /// Whether the position still stands.
    ///
    /// # Errors
    /// `Truncated`, `Removed`, `Expired`.
    pub fn check(&self) -> Result<()> {
        self.standing().map(drop)
    }

    /// The entry `seq` and all before it are done with. Where that was said before, nothing happens. Costs no sync.
    ///
    /// # Errors
    /// `BeyondEnd` above [`durable_seq`](crate::Wal::durable_seq): it would outlive the entry; `Truncated`,
    /// `Removed`, `Expired`; `Poisoned`; `Closed`. `Truncated`, too, where the position stands and the log was cut between
    /// it and `seq` in this opening: nobody can tell whether the entry that was cut is meant or the one in its place.
    /// [`seek`](Self::seek) to the [`position`](Self::position) says that it is the new one.
    pub fn commit(&self, seq: u64) -> Result<()> {
        let log = &self.log;
        log.check()?;
        let known = self.standing()?;
        // In this order: where the log was not cut since, as asked afterwards, the list is the one that the entry
        // was read under.
        let snapshot = View::snapshot(&**log);
        let durable = log.watermark.durable();
        if let Some(at) = log.watermark.cut_since(known.era).filter(|at| *at <= seq) {
            return Err(truncated(at));
        }
        if seq >= durable {
            return Err(not_durable(seq, durable));
        }
        let position = seq.saturating_add(1);
        if position <= known.stand.position {
            return Ok(());
        }
        let epoch = epoch_before(&snapshot, position);
        if log.cursors.advance(self.index, position, epoch)? {
            log.signal.wake();
        }
        Ok(())
    }

    /// Moves to `position`, forwards or backwards, in the log as it is now: whatever was cut, removed or expired
    /// before is accepted by that. Written to disk as a commit is.
    ///
    /// # Errors
    /// `Removed` below [`first_seq`](crate::Wal::first_seq), `BeyondEnd` behind what is durable; then it stays.
    /// `Poisoned`; `Closed`.
    pub fn seek(&self, position: u64) -> Result<()> {
        let log = &self.log;
        refuse_in_callback()?;
        log.check()?;
        // Retention waits meanwhile.
        let keeper = log.keeper();
        let era = log.watermark.era();
        let stand = log.stand_at(position)?;
        let begun = log.cursors.seek(self.index, stand, era);
        drop(keeper);
        if begun {
            log.signal.wake();
        }
        Ok(())
    }

    /// Follows the log from the position on: durable entries only, which can be committed.
    ///
    /// # Errors
    /// `Truncated`, `Removed`, `Expired`.
    pub fn follow(&self) -> Result<Follower> {
        let known = self.standing()?;
        Ok(Follower::new(self.view(), known.stand.position)?.durable_only())
    }

    /// A reader at the position. It may come to entries that are not durable yet, and cannot be committed.
    ///
    /// # Errors
    /// `Truncated`, `Removed`, `Expired`.
    pub fn reader(&self) -> Result<Reader> {
        Reader::at(self.view(), self.standing()?.stand.position)
    }

    /// Removes it for good: durable when this returns.
    ///
    /// # Errors
    /// `Poisoned`, `Closed`; what the disk gives: it may be there after reopening then.
    pub fn remove(mut self) -> Result<()> {
        refuse_in_callback()?;
        self.log.check()?;
        self.log.cursors.remove(self.index)?;
        self.removed = true;
        Ok(())
    }

    fn view(&self) -> Arc<dyn View> {
        Arc::<Log>::clone(&self.log)
    }

    fn known(&self) -> Option<Known> {
        self.log.cursors.get(self.index)
    }

    /// Where it stands, if that is still a position in the log.
    fn standing(&self) -> Result<Known> {
        let known = self.known().ok_or_else(Error::closed)?;
        let snapshot = View::snapshot(&*self.log);
        let cut = self.log.watermark.cut_since(known.era);
        match cut.filter(|at| *at < known.stand.position) {
            Some(at) => Err(truncated(at)),
            None => standing(&known, &snapshot).map(|()| known),
        }
    }
}

/// Whether a cursor's position is one of the log's.
fn standing(known: &Known, snapshot: &Snapshot) -> Result<()> {
    let (stand, first) = (known.stand, snapshot.first_seq);
    if stand.expired {
        return Err(expired(known));
    }
    if stand.position < first {
        let what = format!("the cursor {:?} is behind: the log begins at {first}", known.name);
        return Err(Error::new(ErrorKind::Removed, what).seq_at(stand.position));
    }
    stand.parted(&snapshot.epochs).map_or(Ok(()), |at| Err(truncated(at)))
}

fn not_durable(seq: u64, durable: u64) -> Error {
    let what = format!("not durable yet: durable_seq is {}", durable.saturating_sub(1));
    Error::new(ErrorKind::BeyondEnd, what).seq_at(seq).advice("sync, or wait, and commit it then")
}

/// The epoch of the entry before a position.
fn epoch_before(snapshot: &Snapshot, position: u64) -> u128 {
    let before = snapshot.epochs.iter().rev().find(|epoch| epoch.first_seq < position);
    before.map_or(slot::NOTHING_BEFORE, |epoch| epoch.id)
}

impl Log {
    /// The cursor with this name, for one owner; made if there is none.
    ///
    /// # Errors
    /// As [`Wal::cursor`](crate::Wal::cursor).
    pub(crate) fn cursor(self: &Arc<Self>, name: &str, start: Start) -> Result<Cursor> {
        Cursor::check_name(name)?;
        refuse_in_callback()?;
        self.check()?;
        // Retention waits meanwhile.
        let _keeper = self.keeper();
        let era = self.watermark.era();
        let index = match self.cursors.own(name, era)? {
            Some(index) => {
                self.cursors.keep_half_removed(index)?;
                index
            }
            None => {
                let position = match start {
                    Start::First => self.first_seq(),
                    Start::End => self.watermark.durable(),
                    Start::At(position) => position,
                };
                self.cursors.make(name, self.stand_at(position)?, era)?
            }
        };
        Ok(Cursor { log: Arc::clone(self), name: name.to_owned(), index, removed: false })
    }

    /// A position as one of the log as it is now. The maintenance lock is held: no cut comes in between.
    fn stand_at(&self, position: u64) -> Result<Stand> {
        let snapshot = View::snapshot(self);
        let durable = self.watermark.durable();
        if position < snapshot.first_seq {
            let what = format!("the log begins at seq id {}", snapshot.first_seq);
            return Err(Error::new(ErrorKind::Removed, what).seq_at(position));
        }
        if position > durable {
            return Err(not_durable(position.saturating_sub(1), durable));
        }
        Ok(Stand { position, epoch: epoch_before(&snapshot, position), expired: false })
    }

    /// Removes the cursor with this name, if there is one.
    ///
    /// # Errors
    /// As [`Wal::remove_cursor`](crate::Wal::remove_cursor).
    pub(crate) fn remove_cursor(&self, name: &str) -> Result<bool> {
        refuse_in_callback()?;
        self.check()?;
        let Some(index) = self.cursors.own(name, 0)? else {
            // Where making it failed, it is not there, and may yet be on disk.
            return self.cursors.remove_half_made(name).map(|()| false);
        };
        let removed = self.cursors.remove(index);
        if removed.is_err() {
            self.cursors.release(index);
        }
        removed.map(|()| true)
    }

    /// All cursors.
    ///
    /// # Errors
    /// Where the file could not be read at all; what reading gives.
    pub(crate) fn list_cursors(&self) -> Result<Vec<CursorInfo>> {
        let (snapshot, next) = (View::snapshot(self), self.watermark.appended());
        let mut list = Vec::new();
        for known in self.cursors.list() {
            let position = known.saved.position;
            list.push(CursorInfo {
                position,
                committed: known.stand.position,
                lag: next.saturating_sub(position.max(snapshot.first_seq)),
                lag_bytes: bytes_from(&snapshot, position)?,
                owned: known.owned,
                problem: standing(&known, &snapshot).err(),
                name: known.name,
            });
        }
        list.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(problem) = self.cursors.unreadable() {
            list.push(CursorInfo {
                name: String::new(),
                position: snapshot.first_seq,
                committed: snapshot.first_seq,
                lag: next.saturating_sub(snapshot.first_seq),
                lag_bytes: bytes_from(&snapshot, snapshot.first_seq)?,
                owned: false,
                problem: Some(problem),
            });
        }
        Ok(list)
    }
}

/// Bytes of the segments from the one that holds `position` on.
fn bytes_from(snapshot: &Snapshot, position: u64) -> Result<u64> {
    let mut bytes: u64 = 0;
    for segment in snapshot.segments.iter().rev() {
        bytes = bytes.saturating_add(segment.end()?);
        if segment.first_seq()?.is_some_and(|first| first <= position) {
            break;
        }
    }
    Ok(bytes)
}

/// A cursor of a log that is only looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) position: u64,
    pub(crate) keeps_from: Option<u64>,
    pub(crate) problem: Option<ErrorKind>,
}

/// What is known of a cursor by the files alone.
pub(crate) fn seen(slot: &slot::Slot, first_seq: u64, epochs: &[crate::manifest::Epoch]) -> Seen {
    let expired = slot.state == slot::State::Expired;
    let stand = Stand { position: slot.position, epoch: slot.epoch, expired };
    let problem = if expired {
        Some(ErrorKind::Expired)
    } else if slot.position < first_seq {
        Some(ErrorKind::Removed)
    } else {
        stand.parted(epochs).map(|_| ErrorKind::Truncated)
    };
    let position = slot.position;
    let from = stand.parted(epochs).map_or(position, |at| at.min(position));
    Seen { name: slot.name.clone(), position, keeps_from: (!expired).then_some(from), problem }
}
