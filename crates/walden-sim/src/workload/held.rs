//! What is kept over steps: tickets, readers, followers, and a reader of another process. A cut behind which
//! one of them stands must be told to it, whatever was appended since.

use std::sync::Arc;
use std::time::Duration;

use walden::{Error, Event, Follower, LogReader, Reader, Ticket, Wal};

use super::model::Model;
use super::mount::Mount;
use super::run::Done;
use super::violation::{Checked, Rule, broken, hold};
use super::{DIR, read};

/// A position in the log, and the first seq id that was cut below it since.
#[derive(Debug)]
struct Placed<T> {
    what: T,
    at: u64,
    cut: Option<u64>,
    /// Where the log was reset to since: to who looks only now and then, all before may be `Removed`, or cut
    /// anywhere; and who stands just there may read on, since none of what it had is under another's seq id.
    reset: Option<u64>,
}

impl<T> Placed<T> {
    const fn new(what: T, at: u64) -> Self {
        Self { what, at, cut: None, reset: None }
    }

    fn cut(&mut self, first_cut: u64) {
        if self.at > first_cut {
            self.cut = Some(self.cut.map_or(first_cut, |cut| cut.min(first_cut)));
        }
    }
}

/// All that is kept.
#[derive(Debug, Default)]
pub(crate) struct Held {
    tickets: Vec<Placed<Ticket>>,
    reader: Option<Placed<Reader>>,
    follower: Option<Placed<Follower>>,
    /// With the handle that it reads by: another process's.
    beside: Option<Placed<(LogReader, Reader)>>,
}

impl Held {
    pub(crate) fn keep(&mut self, ticket: Ticket) {
        let end = ticket.seqs().end;
        if !ticket.seqs().is_empty() {
            self.tickets.push(Placed::new(ticket, end));
        }
    }

    /// Entries from `first_cut` on are cut.
    pub(crate) fn cut(&mut self, first_cut: u64) {
        self.tickets.iter_mut().for_each(|held| held.cut(first_cut));
        self.reader.iter_mut().for_each(|held| held.cut(first_cut));
        self.follower.iter_mut().for_each(|held| held.cut(first_cut));
        self.beside.iter_mut().for_each(|held| held.cut(first_cut));
    }

    /// All entries, from `first_cut` on, are cut, and the log goes on at `next`.
    pub(crate) fn reset(&mut self, first_cut: u64, next: u64) {
        self.cut(first_cut);
        self.beside.iter_mut().for_each(|held| held.reset = Some(next));
    }

    /// The process goes, or the machine; another process stays where it is only the process.
    pub(crate) fn crash(&mut self, kill: bool) {
        let beside = self.beside.take().filter(|_| kill);
        *self = Self { beside, ..Self::default() };
    }

    /// The handle goes; tickets are asked once it is closed, and the other process stays.
    pub(crate) fn leave_log(&mut self) {
        (self.reader, self.follower) = (None, None);
    }

    pub(crate) fn place(&mut self, wal: &Wal, mount: &Mount, at: u64, lacking: bool) -> Done {
        let at = if lacking { at.min(wal.stats().written) } else { at };
        self.reader = Some(Placed::new(wal.reader_at(at)?, at));
        self.follower = Some(Placed::new(wal.follow(at)?, at));
        let other = LogReader::open_with(DIR, "segment", Arc::new(mount.clone()))?;
        let at = at.min(other.next_seq());
        let reader = other.reader_at(at)?;
        self.beside = Some(Placed::new((other, reader), at));
        Ok(())
    }

    /// Waits for the oldest ticket: it leads a sync.
    pub(crate) fn wait(&mut self, wal: &Wal) -> Done {
        if self.tickets.is_empty() {
            return Ok(());
        }
        let held = self.tickets.remove(0);
        match held.what.wait() {
            Err(error) if error.is_truncated() && held.cut.is_some() => Ok(()),
            Err(error) => {
                if error.is_out_of_space() {
                    self.tickets.insert(0, held);
                }
                Err(error.into())
            }
            Ok(_) => Ok(told_durable(wal, &held)?),
        }
    }

    /// Moves readers and followers on, and asks each ticket.
    pub(crate) fn look(&mut self, wal: &Wal, model: &Model, steps: usize, lacking: bool) -> Done {
        self.ask_tickets(wal, model)?;
        // Bytes that wait for room cannot be read yet.
        let least = if lacking { wal.stats().written } else { model.next() };
        if let Some(held) = &mut self.reader {
            move_reader(held, |reader| reader, model, least, steps)?;
        }
        if let Some(held) = &mut self.follower {
            follow(held, model, least, steps)?;
        }
        if let Some(held) = &mut self.beside {
            // It asks what happened to the log when it reads from the disk, not for each entry.
            held.what.0.refresh()?;
            if held.at == model.first {
                // As after a reset: all that it had is gone, whichever cut took it.
                held.reset = Some(held.at);
            }
            move_reader(held, |(_, reader)| reader, model, model.written, steps)?;
        }
        Ok(())
    }

    fn ask_tickets(&mut self, wal: &Wal, model: &Model) -> Done {
        let mut stay = Vec::new();
        for held in std::mem::take(&mut self.tickets) {
            match held.what.wait_timeout(Duration::ZERO) {
                Ok(Some(_)) => told_durable(wal, &held)?,
                Ok(None) => {
                    let pending = held.cut.is_none() && held.at > model.durable;
                    hold(Rule::History, pending, || format!("a ticket does not know: {held:?}"))?;
                    stay.push(held);
                }
                Err(error) if error.is_truncated() => {
                    hold(Rule::History, held.cut.is_some(), || format!("{held:?}: {error}"))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.tickets = stay;
        Ok(())
    }

    /// The log has failed: tickets before `durable` are fine, all others get the cause.
    /// `cut` is where a cut that did not return began.
    pub(crate) fn check_failed(&mut self, durable: u64, cut: Option<u64>) -> Checked {
        for held in std::mem::take(&mut self.tickets) {
            let said = held.what.wait_timeout(Duration::ZERO);
            let right = match &said {
                Ok(Some(_)) => held.cut.is_none() && held.at <= durable,
                Ok(None) => false,
                Err(error) if error.is_truncated() => {
                    held.cut.is_some() || cut.is_some_and(|cut| held.at > cut)
                }
                Err(error) => error.is_poisoned() && held.at > durable,
            };
            hold(Rule::Poison, right, || format!("{held:?}, durable before {durable}: {said:?}"))?;
        }
        Ok(())
    }

    /// The log was closed cleanly: all that was not cut is durable.
    pub(crate) fn check_closed(&mut self) -> Checked {
        for held in std::mem::take(&mut self.tickets) {
            let said = held.what.wait_timeout(Duration::ZERO);
            let right = match &said {
                Ok(Some(_)) => held.cut.is_none(),
                Ok(None) => false,
                Err(error) => error.is_truncated() && held.cut.is_some(),
            };
            hold(Rule::Loss, right, || format!("{held:?} after closing: {said:?}"))?;
        }
        Ok(())
    }
}

fn told_durable(wal: &Wal, held: &Placed<Ticket>) -> Checked {
    hold(Rule::History, held.cut.is_none(), || format!("cut, and told durable: {held:?}"))?;
    let durable = wal.durable_seq() + 1;
    hold(Rule::Order, held.at <= durable, || format!("{held:?}, durable before {durable}"))
}

/// An error where a held position stands: `true` if it was to be expected, and the position can be given up.
fn expected<T>(error: &Error, held: &Placed<T>, model: &Model) -> Checked<bool> {
    let Placed { at, cut, reset, .. } = *held;
    if error.is_truncated() {
        // Where the front was cut beyond it too, all before is gone either way.
        let near = error.seq() == cut || reset.is_some() || cut < Some(model.first);
        hold(Rule::History, cut.is_some() && near, || {
            format!("at {at}, cut from {cut:?}: {error}")
        })?;
        return Ok(true);
    }
    if error.is_removed() {
        hold(Rule::Gap, at < model.first, || format!("at {at}: {error}"))?;
        return Ok(true);
    }
    Ok(false)
}

/// Reads on. The end may be anywhere from `least` on.
fn move_reader<T>(
    held: &mut Placed<T>,
    reader: impl Fn(&mut T) -> &mut Reader,
    model: &Model,
    least: u64,
    steps: usize,
) -> Done {
    for _ in 0..steps {
        let entry = reader(&mut held.what).read_next();
        let entry = entry.map(|entry| entry.map(|entry| (entry.seq, entry.payload.to_vec())));
        if entry.is_ok() && held.reset == Some(held.at) {
            (held.cut, held.reset) = (None, None);
        }
        match entry {
            Ok(_) if held.cut.is_some() => return not_told(held.at, held.cut),
            Ok(None) => {
                hold(Rule::Gap, held.at >= least, || format!("no entry at {}", held.at))?;
                return Ok(());
            }
            Ok(entry) => {
                read::same(model, held.at, entry)?;
                held.at += 1;
            }
            Err(error) => {
                if !expected(&error, held, model)? {
                    return Err(error.into());
                }
                reader(&mut held.what).seek(model.first)?;
                (held.at, held.cut, held.reset) = (model.first, None, None);
            }
        }
    }
    Ok(())
}

fn not_told(at: u64, cut: Option<u64>) -> Done {
    Ok(broken(Rule::History, format!("at {at}, cut from {cut:?}, and reads on"))?)
}

fn follow(held: &mut Placed<Follower>, model: &Model, least: u64, steps: usize) -> Done {
    for _ in 0..steps {
        match held.what.try_next() {
            Ok(Some(Event::Truncated { at })) => {
                hold(Rule::History, held.cut == Some(at), || {
                    format!("a follower at {}, cut from {:?}, is told {at}", held.at, held.cut)
                })?;
                (held.at, held.cut) = (held.what.position(), None);
            }
            Ok(_) if held.cut.is_some() => return not_told(held.at, held.cut),
            Ok(Some(Event::Entry(entry))) => {
                read::same(model, held.at, Some((entry.seq, entry.payload.to_vec())))?;
                held.at += 1;
            }
            Ok(None) => {
                hold(Rule::Gap, held.at >= least, || format!("no entry at {}", held.at))?;
                return Ok(());
            }
            Ok(Some(event)) => return Ok(broken(Rule::Order, format!("follower: {event:?}"))?),
            Err(error) => {
                if !expected(&error, held, model)? {
                    return Err(error.into());
                }
                // What was not followed in time is gone; who follows begins anew.
                return Ok(());
            }
        }
    }
    Ok(())
}
