//! What is known of a log that another process may be writing: its segments and how far it goes. Worked on
//! by one refresh at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind as Io;

use super::fault;
use super::tail::{self, Stop, Tail};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Found, Manifest, Place};
use crate::segment::{FileCache, Index, Name, Names, Segment};
use crate::storage::Storage;
use crate::sync::Arc;

/// The log's names in its folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    wals: BTreeSet<u64>,
    prepared: BTreeSet<u64>,
    pub(super) has_index: bool,
}

impl Listing {
    /// Whether a segment is there.
    pub(super) fn has(&self, ordinal: u64) -> bool {
        self.wals.contains(&ordinal)
    }

    pub(super) fn read(storage: &dyn Storage, names: &Names) -> Result<Self> {
        let entries = storage.list(names.dir()).map_err(|error| match error.kind() {
            Io::NotFound => not_found(names),
            _ => Error::io("list the folder", names.dir(), error),
        })?;
        let mut listing = Self::default();
        for entry in entries {
            match names.parse(&entry.name) {
                Some(Name::Wal(ordinal)) => _ = listing.wals.insert(ordinal),
                Some(Name::Next(ordinal)) => _ = listing.prepared.insert(ordinal),
                Some(Name::Index(_)) => listing.has_index = true,
                _ => {}
            }
        }
        Ok(listing)
    }
}

pub(super) fn not_found(names: &Names) -> Error {
    let what = format!("there is no log with the prefix `{}` here", names.prefix());
    Error::new(ErrorKind::NotFound, what).path(names.dir())
}

/// What a look at the log gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) first: u64,
    pub(super) written: u64,
    pub(super) durable: u64,
}

#[derive(Debug)]
pub(super) struct Survey {
    names: Names,
    storage: Arc<dyn Storage>,
    files: Arc<FileCache>,
    pub(super) segments: BTreeMap<u64, Arc<Segment>>,
    /// The segment that was taken under the name of one made ready.
    prepared: Option<u64>,
    tail: Tail,
    /// What readers may look at once the look has proved good: not before, or they would read on into what
    /// is being cut.
    ends: Vec<(Arc<Segment>, u64)>,
    /// And of the segment that a cut in progress keeps something of, no more than that.
    kept: Option<(Arc<Segment>, u64)>,
    /// Without a manifest: what was found behind the sound records, so that it isn't looked for each time.
    verdict: Option<(Tail, u64, bool)>,
}

impl Survey {
    pub(super) fn new(names: Names, storage: Arc<dyn Storage>) -> Self {
        let files = Arc::new(FileCache::new(Arc::clone(&storage), &names));
        let tail = Tail { ordinal: 0, offset: 0, next_seq: 0 };
        Self {
            names,
            storage,
            files,
            segments: BTreeMap::new(),
            prepared: None,
            tail,
            ends: Vec::new(),
            kept: None,
            verdict: None,
        }
    }

    /// Forgets everything: a cut made it untrue, or a look came to nothing and may have seen one half done.
    pub(super) fn forget(&mut self) {
        *self = Self::new(self.names.clone(), Arc::clone(&self.storage));
    }

    pub(super) fn tail(&self) -> Tail {
        self.tail
    }

    fn open(&self, ordinal: u64) -> Arc<Segment> {
        let files = Arc::clone(&self.files);
        Arc::new(Segment::open(&self.names, ordinal, files, None, 0, Some(Index::default())))
    }

    fn sealed(&self, ordinal: u64) -> Arc<Segment> {
        Arc::new(Segment::sealed(&self.names, ordinal, Arc::clone(&self.files)))
    }

    /// Takes segments that are live and were not known, lets go of those that are no more, and takes those
    /// below `open_from` as complete.
    fn list(&mut self, live: &BTreeSet<u64>, open_from: u64) -> Result<()> {
        let files = Arc::clone(&self.files);
        self.segments.retain(|ordinal, _| {
            let keep = live.contains(ordinal);
            if !keep {
                files.remove(*ordinal);
            }
            keep
        });
        for ordinal in live {
            match self.segments.get(ordinal) {
                None if *ordinal < open_from => {
                    _ = self.segments.insert(*ordinal, self.sealed(*ordinal))
                }
                None => _ = self.segments.insert(*ordinal, self.open(*ordinal)),
                Some(segment) if *ordinal < open_from && !segment.is_sealed() => {
                    // Since it was completed it may have been written anew, and be another file now.
                    files.remove(*ordinal);
                    _ = self.segments.insert(*ordinal, self.sealed(*ordinal));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Looks at a log with a manifest; a cut in progress counts as done.
    ///
    /// # Errors
    /// `Corrupt`, `Io`. A file that isn't found may have been removed since the manifest was read.
    pub(super) fn look(&mut self, found: &Found, listing: &Listing) -> Result<Reach> {
        let manifest = &found.manifest;
        let mut live = live(manifest, listing);
        self.list_prepared(manifest, listing, &mut live);
        self.list(&live, manifest.open_from)?;
        let kept = manifest.cut.and_then(|cut| cut.kept);
        let keeper = kept.and_then(|(ordinal, len)| Some((self.segments.get(&ordinal)?, len)));
        if let Some((segment, len)) = keeper {
            self.kept = Some((Arc::clone(segment), len));
        }
        if self.tail.ordinal < manifest.open_from || self.tail.next_seq == 0 {
            self.tail = Tail::at(manifest.open_place());
        }
        let place = believed(found);
        self.scan(&place, |segment| match kept {
            Some((ordinal, len)) if ordinal == segment.ordinal => Ok(len),
            _ => tail::length(&*segment.opened()?.file, segment),
        })?;
        let mut written = self.tail.next_seq;
        if written < place.next_seq {
            self.pass_damage(&place)?;
            written = place.next_seq;
        }
        Ok(Reach {
            first: manifest.first_seq.min(written),
            written,
            durable: place.next_seq.min(written),
        })
    }

    /// The look was good: readers may look as far.
    pub(super) fn show(&mut self) -> Result<()> {
        for (segment, end) in self.ends.drain(..) {
            tail::raise_end(&segment, end)?;
        }
        if let Some((segment, len)) = self.kept.take() {
            segment.set_end(len);
        }
        Ok(())
    }

    /// Entries of a batch that survive a cut through it lie in a file that has no segment's name yet.
    fn list_prepared(&mut self, manifest: &Manifest, listing: &Listing, live: &mut BTreeSet<u64>) {
        let prepared = manifest.cut.filter(|cut| cut.prepared.is_some()).map(|cut| cut.dead_to);
        let wanted = prepared
            .filter(|ordinal| !live.contains(ordinal) && listing.prepared.contains(ordinal));
        let known = std::mem::replace(&mut self.prepared, wanted);
        if let Some(ordinal) = known.filter(|known| Some(*known) != wanted) {
            // It has got its name: it is read again under that.
            self.segments.remove(&ordinal);
            self.files.remove(ordinal);
            self.tail.next_seq = 0;
        }
        if let Some(ordinal) = wanted {
            live.insert(ordinal);
            if known != wanted {
                let segment = Segment::prepared(&self.names, ordinal, Arc::clone(&self.files));
                self.segments.insert(ordinal, Arc::new(segment));
            }
        }
    }

    /// Follows the records of the open segments from where they were last seen to end.
    /// The log was durable up to `place`.
    fn scan(&mut self, place: &Place, limit: impl Fn(&Segment) -> Result<u64>) -> Result<()> {
        for (ordinal, segment) in self.segments.range(self.tail.ordinal..) {
            let mut tail = self.tail;
            let trusted = trusted(place, *ordinal);
            if *ordinal > tail.ordinal {
                match tail::begins_with(segment, tail.next_seq, trusted > 0)? {
                    Some(true) => {}
                    Some(false) => break,
                    // Another program may have gone on behind an empty one, as opening does.
                    None => continue,
                }
                tail = Tail { ordinal: *ordinal, offset: 0, ..tail };
            }
            tail::run(segment, &mut tail, limit(segment)?, trusted, false)?;
            self.ends.push((Arc::clone(segment), tail.offset));
            self.tail = tail;
        }
        Ok(())
    }

    /// The log was durable up to `place`, and its records are sound only up to the tail. It ends at `place`
    /// all the same: whoever reads that far meets the damage, and whoever seeks behind it what is sound there.
    fn pass_damage(&mut self, place: &Place) -> Result<()> {
        let last = self.segments.get(&place.ordinal);
        let Some(last) = last.filter(|_| place.ordinal >= self.tail.ordinal) else {
            let path = self.names.wal(place.ordinal);
            let advice =
                format!("was the folder copied while it was written to? {}", fault::verify(&path));
            return Err(Error::corrupt("the manifest names a segment that is missing")
                .path(&path)
                .advice(advice));
        };
        for (ordinal, segment) in self.segments.range(self.tail.ordinal..place.ordinal) {
            let len = tail::length(&*segment.opened()?.file, segment)?;
            let mut own = Tail { ordinal: *ordinal, offset: 0, next_seq: 0 };
            if *ordinal == self.tail.ordinal {
                own.offset = len;
            } else {
                tail::run(segment, &mut own, len, u64::MAX, false)?;
            }
            self.ends.push((Arc::clone(segment), own.offset));
        }
        self.ends.push((Arc::clone(last), place.offset));
        Ok(())
    }

    /// Looks at a log without a manifest, as the Go library leaves one: all but the last segment are complete.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Io`.
    pub(super) fn look_plain(&mut self, listing: &Listing) -> Result<Reach> {
        let last = *listing.wals.last().ok_or_else(|| not_found(&self.names))?;
        self.list(&listing.wals, last)?;
        if self.tail.ordinal != last || self.tail.next_seq == 0 {
            self.tail = Tail { ordinal: last, offset: 0, next_seq: 0 };
        }
        let (mut next_seq, mut wrong) = (self.tail.next_seq, false);
        if let Some(segment) = self.segments.get(&last) {
            let len = tail::length(&*segment.opened()?.file, segment)?;
            let mut tail = self.tail;
            let stop = tail::run(segment, &mut tail, len, 0, true)?;
            self.tail = tail;
            if tail.next_seq == 0 {
                // For this look: what comes may be any seq id, where nothing comes before.
                (tail.next_seq, wrong) = self.before(last)?;
            }
            next_seq = tail.next_seq;
            let damaged = match self.verdict {
                Some((at, to, damaged)) if at == tail && to == len => damaged,
                _ => tail::is_damage(segment, &tail, len, stop)?,
            };
            self.verdict = Some((tail, len, damaged));
            self.ends.push((Arc::clone(segment), if damaged { len } else { tail.offset }));
            // The end is hidden: at least the damaged entry was there.
            wrong |= damaged && stop != Stop::End;
        }
        let written = next_seq.saturating_add(u64::from(wrong));
        let first = self.first_plain()?.unwrap_or(next_seq).min(written);
        Ok(Reach { first, written, durable: written })
    }

    /// The seq id after the last record before segment `last`.
    fn before(&self, last: u64) -> Result<(u64, bool)> {
        for (_, segment) in self.segments.range(..last).rev() {
            if let Some(after) = tail::after(segment)? {
                return Ok(after);
            }
        }
        Ok((1, false))
    }

    fn first_plain(&self) -> Result<Option<u64>> {
        for segment in self.segments.values() {
            if let Some(first) = segment.first_seq()? {
                return Ok(Some(first));
            }
        }
        Ok(None)
    }
}

/// Segments that are the log's, by a manifest.
fn live(manifest: &Manifest, listing: &Listing) -> BTreeSet<u64> {
    let dead = |ordinal: u64| {
        manifest.cut.is_some_and(|cut| (cut.dead_from..cut.dead_to).contains(&ordinal))
    };
    listing.wals.range(manifest.first_ordinal..).copied().filter(|o| !dead(*o)).collect()
}

/// Up to where a segment is known to have been durable.
fn trusted(place: &Place, ordinal: u64) -> u64 {
    match ordinal.cmp(&place.ordinal) {
        std::cmp::Ordering::Less => u64::MAX,
        std::cmp::Ordering::Equal => place.offset,
        std::cmp::Ordering::Greater => 0,
    }
}

/// The latest place up to which the log was durable. A mark in front of the open segments is merely stale: the log may have
/// been cut since, and have taken up the same epoch again.
fn believed(found: &Found) -> Place {
    let manifest = &found.manifest;
    // What empties the log names a segment that is made only at its end.
    let empties = manifest.cut.is_some_and(|cut| cut.kept.is_none());
    let base = manifest.base.filter(|_| !empties);
    let mark = found.believed().map(|mark| mark.place);
    [base, mark]
        .into_iter()
        .flatten()
        .filter(|place| place.ordinal >= manifest.open_from)
        .max_by_key(|place| (place.ordinal, place.offset))
        .unwrap_or_else(|| manifest.open_place())
}
