//! Readers, followers and cursors among the calls: each gives what the model has from its place on, or says why not.

use std::collections::BTreeMap;

use walden::{Cursor, Event, Follower, Reader, Start};

use super::*;

/// What one who reads does. The first number says which of a kind it is.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) enum Use {
    Read(u8),
    ReadBack(u8),
    Seek(u8, u8),
    Follow(u8),
    Commit(u8, u8),
    SeekCursor(u8, u8),
    RemoveCursor(u8),
    /// What the next opening waits for.
    Strategy(u8),
}

/// What was cut below a place since it was last told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Nothing,
    /// From there on.
    From(u64),
    /// All, by a reset: whether a place where the log goes on by chance is told of it is left open.
    All,
}

#[derive(Debug)]
struct Place<T> {
    by: T,
    position: u64,
    cut: Cut,
    /// The first seq id that was cut since it was taken or moved. Whether an entry from there on was read before or
    /// behind the cut, a cursor cannot know.
    cut_since: u64,
}

#[derive(Debug, Default)]
pub(super) struct Consumers {
    readers: BTreeMap<u8, Place<Reader>>,
    /// The odd ones give what is durable only.
    followers: BTreeMap<u8, Place<Follower>>,
    cursors: BTreeMap<u8, Place<Cursor>>,
    /// Between which positions each cursor is found by the next opening.
    known: BTreeMap<u8, (u64, u64)>,
}

impl<T> Place<T> {
    const fn at(by: T, position: u64) -> Self {
        Self { by, position, cut: Cut::Nothing, cut_since: u64::MAX }
    }

    fn is_cut_at(&mut self, next: u64) {
        self.cut_since = self.cut_since.min(next);
        self.cut = match self.cut {
            Cut::Nothing if self.position > next => Cut::From(next),
            Cut::From(at) => Cut::From(at.min(next)),
            other => other,
        };
    }

    /// `error` is that of a place that was cut, or removed in front.
    fn is_told(&self, error: &Error, first: u64) -> bool {
        (error.is_truncated() && self.cut != Cut::Nothing)
            || (error.is_removed() && (self.position < first || self.cut == Cut::All))
    }

    /// The entry at `seq` may be handed out.
    fn allows(&self, seq: u64) {
        assert!(!matches!(self.cut, Cut::From(_)), "{seq} is given, and what led there was cut");
    }
}

impl Consumers {
    pub(super) fn cut(&mut self, next: u64) {
        self.readers.values_mut().for_each(|place| place.is_cut_at(next));
        self.followers.values_mut().for_each(|place| place.is_cut_at(next));
        self.cursors.values_mut().for_each(|place| place.is_cut_at(next));
        self.known.retain(|_, (_, last)| *last <= next);
    }

    pub(super) fn emptied(&mut self) {
        self.readers.values_mut().for_each(|place| place.cut = Cut::All);
        self.followers.values_mut().for_each(|place| place.cut = Cut::All);
        self.cursors.values_mut().for_each(|place| place.cut = Cut::All);
        self.known.clear();
    }

    /// The log was opened again: who read is gone.
    pub(super) fn reopened(&mut self) {
        self.readers.clear();
        self.followers.clear();
        self.cursors.clear();
    }

    /// Before which retention removes nothing.
    pub(super) fn held(&self) -> u64 {
        let standing = self.cursors.values().filter(|place| place.cut == Cut::Nothing);
        standing.map(|place| place.position).min().unwrap_or(u64::MAX)
    }
}

impl Run {
    pub(super) fn consume(&mut self, what: Use) {
        if let Use::Strategy(strategy) = what {
            self.next_strategy = strategy;
            return;
        }
        let Some(log) = self.log() else { return };
        // It has failed, and may have been cut.
        if !self.doubts.is_empty() {
            return self.consumers.reopened();
        }
        match what {
            Use::Read(which) => self.read(&log, which % 2, false),
            Use::ReadBack(which) => self.read(&log, which % 2, true),
            Use::Seek(which, part) => self.seek(&log, which % 2, part),
            Use::Follow(which) => self.follow(&log, which % 4),
            Use::Commit(which, part) => self.commit(&log, which % 2, part),
            Use::SeekCursor(which, part) => self.seek_cursor(&log, which % 2, part),
            Use::RemoveCursor(which) => self.remove_cursor(&log, which % 2),
            Use::Strategy(_) => {}
        }
        self.note(&log);
    }

    fn payload_of(&self, seq: u64) -> Option<&[u8]> {
        let at = seq.checked_sub(self.model.first)?;
        self.model.entries.get(at as usize).map(|known| &known.payload[..])
    }

    /// A reader that ends has come to the end; or entries behind it could not be written.
    fn ends(&self, at: u64, end: u64) {
        assert!(
            at == end || !self.is_healthy(),
            "an end at {at}, and there are entries up to {end}"
        );
    }

    fn read(&mut self, log: &Wal, which: u8, back: bool) {
        let first = self.model.first;
        let new = || Place::at(log.reader(), first);
        let mut place = self.consumers.readers.remove(&which).unwrap_or_else(new);
        let seq = if back { place.position.saturating_sub(1) } else { place.position };
        let read = match back {
            true => place.by.read_prev(),
            false => place.by.read_next(),
        };
        let read = read.map(|entry| entry.map(|entry| (entry.seq, entry.payload.to_vec())));
        match read {
            Ok(Some((found, payload))) => {
                place.allows(found);
                assert_eq!((found, Some(&payload[..])), (seq, self.payload_of(seq)));
                place.position = if back { seq } else { seq + 1 };
            }
            Ok(None) if back => {
                place.allows(seq);
                assert!(place.position == first || place.cut == Cut::All, "no entry before it");
            }
            Ok(None) => {
                place.allows(seq);
                self.ends(seq, self.model.next());
            }
            // Until it is told where to go.
            Err(error) if place.is_told(&error, first) => {}
            Err(error) => self.read_failed(&error),
        }
        if !matches!(place.cut, Cut::All) {
            assert_eq!(place.by.position(), place.position);
        }
        self.consumers.readers.insert(which, place);
    }

    fn seek(&mut self, log: &Wal, which: u8, part: u8) {
        let seq = self.position(part);
        let place =
            self.consumers.readers.entry(which).or_insert_with(|| Place::at(log.reader(), 0));
        match place.by.seek(seq) {
            Ok(()) => (place.position, place.cut) = (seq, Cut::Nothing),
            Err(error) => {
                self.consumers.readers.remove(&which);
                // What waits in memory is behind the end.
                assert!(!self.is_healthy(), "seeking {seq}: {error}");
            }
        }
    }

    fn follow(&mut self, log: &Wal, which: u8) {
        let durable_only = which % 2 == 1;
        let Some(mut place) = self.consumers.followers.remove(&which).or_else(|| {
            let follower = log.follow(self.model.first).ok()?;
            let follower = if durable_only { follower.durable_only() } else { follower };
            Some(Place::at(follower, self.model.first))
        }) else {
            return assert!(!self.is_healthy(), "it cannot be followed");
        };
        let seq = place.position;
        match place.by.try_next() {
            Ok(Some(Event::Entry(entry))) => {
                place.allows(seq);
                assert_eq!((entry.seq, Some(&entry.payload[..])), (seq, self.payload_of(seq)));
                assert!(!durable_only || seq <= log.durable_seq(), "{seq} is not durable");
                place.position += 1;
            }
            Ok(Some(Event::Truncated { at })) => {
                assert!(place.cut != Cut::Nothing, "it was not cut");
                assert!(
                    place.cut == Cut::All || place.cut == Cut::From(at),
                    "{at}: {:?}",
                    place.cut
                );
                place = Place::at(place.by, 0);
                place.position = place.by.position();
            }
            Ok(Some(event)) => panic!("{event:?}"),
            Ok(None) => {
                place.allows(seq);
                let end = if durable_only { log.durable_seq() + 1 } else { self.model.next() };
                if place.cut == Cut::Nothing {
                    self.ends(seq, end.max(self.model.first));
                }
            }
            Err(error) if place.is_told(&error, self.model.first) => return,
            Err(error) => self.read_failed(&error),
        }
        self.consumers.followers.insert(which, place);
    }

    /// The cursor, made or opened: where it is then is between what was synced and what was committed.
    fn cursor(&mut self, log: &Wal, which: u8) -> Option<()> {
        if self.consumers.cursors.contains_key(&which) {
            return Some(());
        }
        let made = log.cursor(format!("c{which}"), Start::First);
        self.must("making a cursor", &made);
        let cursor = made.ok()?;
        let position = cursor.position();
        // One that was cut is found so, or told by `check`; another stands where it was.
        let mut place = Place::at(cursor, position);
        match (self.consumers.known.remove(&which), place.by.check()) {
            (Some((least, most)), Ok(())) => {
                assert!((least..=most).contains(&position), "at {position}, not {least}..={most}");
            }
            (_, Ok(())) => assert!(position <= self.model.next(), "beyond the end"),
            (_, Err(_)) => place.cut = Cut::All,
        }
        self.consumers.cursors.insert(which, place);
        Some(())
    }

    fn commit(&mut self, log: &Wal, which: u8, part: u8) {
        let seq = self.position(part);
        if self.cursor(log, which).is_none() {
            return;
        }
        let (durable, first) = (log.durable_seq(), self.model.first);
        let healthy = self.is_healthy();
        let Some(place) = self.consumers.cursors.get_mut(&which) else { return };
        match place.by.commit(seq) {
            Ok(()) => {
                place.allows(seq);
                assert!(seq <= durable, "{seq} is committed, and not durable");
                place.position = place.position.max(seq + 1);
                if place.cut == Cut::Nothing {
                    assert_eq!(place.by.position(), place.position);
                }
            }
            Err(error) => {
                let doubtful = error.is_truncated() && seq >= place.cut_since;
                let told = place.is_told(&error, first) || place.cut == Cut::All || doubtful;
                assert!(told || seq > durable || !healthy, "committing {seq}: {error}");
            }
        }
    }

    fn seek_cursor(&mut self, log: &Wal, which: u8, part: u8) {
        let seq = self.position(part);
        if self.cursor(log, which).is_none() {
            return;
        }
        let (durable, healthy) = (log.durable_seq(), self.is_healthy());
        let Some(place) = self.consumers.cursors.get_mut(&which) else { return };
        match place.by.seek(seq) {
            Ok(()) => {
                (place.position, place.cut, place.cut_since) = (seq, Cut::Nothing, u64::MAX);
                assert_eq!(place.by.position(), seq);
            }
            Err(error) => assert!(seq > durable + 1 || !healthy, "seeking {seq}: {error}"),
        }
    }

    fn remove_cursor(&mut self, log: &Wal, which: u8) {
        self.consumers.cursors.remove(&which);
        self.consumers.known.remove(&which);
        let removed = log.remove_cursor(format!("c{which}"));
        self.must("removing a cursor", &removed);
    }
}
