//! A log as one sees it who only reads: no lock, no writes, beside a writer in another process.
//!
//! A look at it is: read the manifest, list the folder, follow the records of the open segments, read the
//! manifest again. If meanwhile the log was cut, what was seen is of no use and it is looked again.

use super::epochs::cut_between;
use super::fault;
use super::survey::{Listing, Reach, Survey};
use super::tail::Tail;
use crate::dictionaries::{self, DictionaryInfo};
use crate::error::{Error, Result};
use crate::manifest::{self, Found, Manifest};
use crate::segment::{Names, Segment};
use crate::snapshot::{Snapshot, View};
use crate::storage::{Access, Storage};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};
use crate::watermark::{Level, Watermark};

/// How often it is looked again because the log changed meanwhile.
const RETRIES: u32 = 32;

#[derive(Debug)]
pub(super) struct Foreign {
    names: Names,
    storage: Arc<dyn Storage>,
    work: Mutex<Work>,
    shared: Mutex<Shared>,
    // Under shuttle: `waiting::readers_of_another_process`.
    era: AtomicU64,
    first: AtomicU64,
    written: AtomicU64,
    durable: AtomicU64,
}

/// What belongs to the one who looks.
#[derive(Debug)]
struct Work {
    survey: Survey,
    /// The manifest of the last look, if there was one.
    manifest: Option<Manifest>,
    looked: bool,
    /// Entries below it were given to readers, and no cut among them was told since: a look that saw the log shorter, under
    /// the same epochs, takes nothing back.
    given: u64,
}

/// What readers are given.
#[derive(Debug)]
struct Shared {
    snapshot: Arc<Snapshot>,
    /// For each cut that still matters: the era it began, and the first seq id it cut. Both rise.
    cuts: Vec<(u64, u64)>,
}

impl Foreign {
    /// # Errors
    /// `NotFound`; whatever looking gives.
    pub(super) fn open(names: Names, storage: Arc<dyn Storage>) -> Result<Self> {
        let survey = Survey::new(names.clone(), Arc::clone(&storage));
        let snapshot = Snapshot {
            log_id: 0,
            segments: Vec::new(),
            first_seq: 0,
            epochs: Vec::new(),
            losses: Vec::new(),
        };
        let shared = Shared { snapshot: Arc::new(snapshot), cuts: Vec::new() };
        let foreign = Self {
            names,
            storage,
            work: Mutex::new(Work { survey, manifest: None, looked: false, given: 0 }),
            shared: Mutex::new(shared),
            era: AtomicU64::new(0),
            first: AtomicU64::new(0),
            written: AtomicU64::new(0),
            durable: AtomicU64::new(0),
        };
        foreign.refresh()?;
        Ok(foreign)
    }

    pub(super) fn prefix(&self) -> &str {
        self.names.prefix()
    }

    pub(super) fn dictionaries(&self) -> Result<Vec<DictionaryInfo>> {
        dictionaries::list(&*self.storage, &self.names)
    }

    pub(super) fn dictionary(&self, id: u32) -> Result<Vec<u8>> {
        Ok(dictionaries::load(&*self.storage, &self.names, id)?.encode())
    }

    /// One look; false if the log changed meanwhile, so that another is needed.
    fn look(&self, work: &mut Work) -> Result<bool> {
        let found = manifest::find(&*self.storage, &self.names)?;
        let listing = Listing::read(&*self.storage, &self.names)?;
        let Some(found) = found else {
            return self.look_plain(work, &listing);
        };
        if found.rolled_back().is_some() {
            return self.refuse_rolled_back(&found);
        }
        let cut = self.cut(work, &found.manifest)?;
        // With the segment that was read last the epochs that would tell of a cut may be gone: its end is no place to go on
        // from then. Unless nothing was read behind the complete segments: of the first one behind them a cut leaves no file.
        let tail = work.survey.tail();
        if cut.is_some()
            || (!listing.has(tail.ordinal) && tail != Tail::at(found.manifest.open_place()))
        {
            work.survey.forget();
        }
        let before = work.survey.tail();
        let reach = match work.survey.look(&found, &listing) {
            Ok(reach) => reach,
            Err(error) if error.is_corruption() => {
                // Unless what is missing was cut since the manifest was read.
                let again = manifest::find(&*self.storage, &self.names)?;
                let same = |again: &Found| again.manifest.generation == found.manifest.generation;
                // Or renamed while the folder was listed, which may show neither name.
                let listed = Listing::read(&*self.storage, &self.names)? == listing;
                return if listed && again.as_ref().is_none_or(same) {
                    Err(error)
                } else {
                    Ok(false)
                };
            }
            Err(error) => return Err(error),
        };
        let news = !work.looked || cut.is_some() || work.survey.tail() != before;
        let damaged = reach.written > work.survey.tail().next_seq;
        if news || damaged {
            let again = manifest::find(&*self.storage, &self.names)?;
            let Some(again) = again.map(|again| again.manifest) else {
                return Ok(false);
            };
            let moved = damaged && again.generation != found.manifest.generation;
            if moved || !same_history(&again, &found.manifest) {
                return Ok(false);
            }
        }
        work.survey.show()?;
        let (epochs, losses) = (found.manifest.epochs.clone(), found.manifest.losses.clone());
        let segments = work.survey.segments.values().cloned().collect();
        let log_id = found.manifest.log_id;
        work.manifest = Some(found.manifest);
        work.looked = true;
        let first_seq = reach.first;
        work.given = if cut.is_some() { reach.written } else { work.given.max(reach.written) };
        self.publish(cut, reach, Snapshot { log_id, segments, first_seq, epochs, losses });
        Ok(true)
    }

    fn look_plain(&self, work: &mut Work, listing: &Listing) -> Result<bool> {
        let gone = |what: &str| {
            if manifest::find(&*self.storage, &self.names)?.is_some() {
                return Ok(false);
            }
            let manifest = self.names.manifest();
            let advice = fault::rebuild(&manifest);
            Err(Error::corrupt(what).path(&manifest).advice(advice))
        };
        if work.manifest.is_some() {
            return gone("the manifest is gone");
        }
        if listing.has_index {
            return gone("the manifest is missing, and there are files never made without one");
        }
        let reach = match work.survey.look_plain(listing) {
            Err(error) if error.is_corruption() && error.offset().is_none() => {
                // A manifest may have been made meanwhile, and then a record that needs it.
                return gone("the manifest is missing").map_err(|_| error);
            }
            other => other?,
        };
        // Made meanwhile, it has the epochs by which what was seen here is told apart.
        if manifest::find(&*self.storage, &self.names)?.is_some() {
            return Ok(false);
        }
        work.looked = true;
        work.survey.show()?;
        let segments = work.survey.segments.values().cloned().collect();
        let first_seq = reach.first;
        let (epochs, losses) = (Vec::new(), Vec::new());
        let snapshot = Snapshot { log_id: 0, segments, first_seq, epochs, losses };
        work.given = work.given.max(reach.written);
        self.publish(None, reach, snapshot);
        Ok(true)
    }

    /// A mark of a later generation than the manifest's: unless it was written while the manifest was read.
    fn refuse_rolled_back(&self, found: &Found) -> Result<bool> {
        let again = manifest::find(&*self.storage, &self.names)?;
        let still = again.is_some_and(|again| {
            again.manifest.generation == found.manifest.generation && again.rolled_back().is_some()
        });
        if !still {
            return Ok(false);
        }
        let manifest = self.names.manifest();
        let advice = format!("was it restored from a copy? {}", fault::verify(&manifest));
        Err(Error::corrupt("the manifest is older than the log beside it")
            .path(&manifest)
            .advice(advice))
    }

    /// The first seq id that was cut since the last look, among those that were given to readers.
    fn cut(&self, work: &Work, manifest: &Manifest) -> Result<Option<u64>> {
        let cut = match &work.manifest {
            Some(old) if old.log_id != manifest.log_id => {
                return Err(Error::corrupt("another log has taken the place of the one opened")
                    .path(&self.names.manifest())
                    .advice("open it anew"));
            }
            Some(old) => cut_between(&old.epochs, &manifest.epochs),
            None if work.looked => self.cut_of_adopted(manifest),
            None => None,
        };
        Ok(cut.filter(|at| *at < work.given))
    }

    /// It was a Go log when it was looked at, and was adopted since: its entries are those of the first epoch, as long as a
    /// segment is left that it had then. Else it was emptied, or cut in front of them.
    fn cut_of_adopted(&self, manifest: &Manifest) -> Option<u64> {
        let [oldest, rest @ ..] = &manifest.epochs[..] else { return None };
        let last = self.shared.lock().snapshot.segments.last().map(|segment| segment.ordinal);
        if last.is_some_and(|last| last < manifest.first_ordinal) {
            return Some(oldest.first_seq.max(manifest.first_seq));
        }
        let is_its_own = oldest.first_seq <= self.first_seq();
        let cut = if is_its_own { rest.first() } else { Some(oldest) };
        cut.map(|epoch| epoch.first_seq)
    }

    fn publish(&self, cut: Option<u64>, reach: Reach, snapshot: Snapshot) {
        let mut shared = self.shared.lock();
        if let Some(at) = cut {
            let era = self.era() + 1;
            shared.cuts.retain(|(_, earlier)| *earlier < at);
            shared.cuts.push((era, at));
            // Before all else, so that who sees any of the rest sees that there was a cut.
            self.era.store(era, Ordering::SeqCst);
        }
        if !same_list(&shared.snapshot, &snapshot) {
            shared.snapshot = Arc::new(snapshot);
        }
        self.first.store(reach.first, Ordering::SeqCst);
        self.durable.store(reach.durable, Ordering::SeqCst);
        self.written.store(reach.written, Ordering::SeqCst);
    }
}

fn same_history(a: &Manifest, b: &Manifest) -> bool {
    a.log_id == b.log_id && a.epochs == b.epochs && a.cut == b.cut
}

fn same_list(a: &Snapshot, b: &Snapshot) -> bool {
    let same = |(a, b): (&Arc<Segment>, &Arc<Segment>)| Arc::ptr_eq(a, b);
    a.log_id == b.log_id
        && a.first_seq == b.first_seq
        && a.epochs == b.epochs
        && a.losses == b.losses
        && a.segments.len() == b.segments.len()
        && a.segments.iter().zip(&b.segments).all(same)
}

impl View for Foreign {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.shared.lock().snapshot)
    }

    fn refresh(&self) -> Result<()> {
        let mut work = self.work.lock();
        let mut last = None;
        for _ in 0..RETRIES {
            match self.look(&mut work) {
                Ok(true) => return Ok(()),
                Ok(false) => work.survey.forget(),
                Err(error) => {
                    work.survey.forget();
                    // A file that was there a moment ago: the next look tells why.
                    if error.io_kind() != Some(std::io::ErrorKind::NotFound) {
                        return Err(error);
                    }
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(fault::restless))
    }

    fn look_anew(&self, doubted: &[Arc<Segment>]) -> Result<()> {
        // Of one that is not complete the length says nothing: put right, it is as long as it was.
        let replaced = |segment: &Arc<Segment>| {
            if !segment.is_sealed() {
                return true;
            }
            let file = self.storage.open(&segment.path, Access::Read);
            file.and_then(|file| file.len()).ok() != segment.end().ok()
        };
        if doubted.iter().any(replaced) {
            self.work.lock().survey.forget();
        }
        self.refresh()
    }

    fn is_foreign(&self) -> bool {
        true
    }

    fn end(&self, level: Level) -> u64 {
        match level {
            Level::Written => self.written.load(Ordering::SeqCst),
            Level::Durable => self.durable.load(Ordering::SeqCst),
        }
    }

    fn first_seq(&self) -> u64 {
        self.first.load(Ordering::SeqCst)
    }

    fn era(&self) -> u64 {
        self.era.load(Ordering::SeqCst)
    }

    fn cut_since(&self, era: u64) -> Option<u64> {
        if self.era() == era {
            return None;
        }
        let shared = self.shared.lock();
        shared.cuts.iter().find(|(began, _)| *began > era).map(|(_, at)| *at)
    }

    fn watermark(&self) -> Option<&Watermark> {
        None
    }
}
