//! The one who changes the archive: makes objects, and then a generation that names them.
//!
//! **One writer.** Who begins writing makes a generation with the next term and an id of its own. Each generation is
//! made only if there is none of its number, so that of two writers one fails, looks, and finds the other's: it is
//! fenced, and never goes on. Since old generations are removed, the one who made one also asks whether there are
//! later ones: a writer that slept through all of them made one that nobody will read, and learns it so.
//!
//! **An answer that was lost.** Whether a generation was made is not known then, and it may even be made later, by a
//! request still on its way. So before anything else the same content is made again under the same number: either
//! that succeeds, and the lost one can never be, or it is there, and is gone on from.
//!
//! **Removing.** Names of objects have the term of their writer and some chance. What no generation names, and is not
//! of a later term, can be removed: whoever could still name it is fenced.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;

use crate::contents::{Contents, Latest, read_page};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{CHUNKS, MANIFESTS, MOST_BYTES, Manifest, PAGES, PER_PAGE, Page, Part};
use crate::store::{Made, Store};

/// Generations that are kept, for those who look and for people.
const KEPT: u64 = 16;
/// How often it is tried to take over while others do.
const RETRIES: u32 = 8;

#[derive(Debug)]
pub(crate) struct Writer {
    store: Store,
    id: u128,
    latest: Latest,
    /// Whether the last generation was made is not known.
    unsure: bool,
    /// The newest generation when old ones were removed last.
    pruned: u64,
}

/// An object that is to be made: what it holds, and what the manifest says of it but for name, hash and size.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) bytes: Bytes,
    pub(crate) part: Part,
}

impl Writer {
    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// Takes the archive over, or begins it at `first_seq`.
    ///
    /// # Errors
    /// `Corrupt` where there are objects and no manifest; `Fenced` where others take it over all the time; `Store`.
    pub(crate) fn take_over(store: &Store, first_seq: u64) -> Result<Self> {
        let id = random()?;
        for _ in 0..RETRIES {
            let own = store.clone();
            let latest = store.run(async move { Latest::load_or_none(&own).await })?;
            let next = match &latest {
                None => Manifest::begin(first_seq, 0, id),
                Some(latest) => {
                    let mut next = follow(latest)?;
                    (next.term, next.writer) = (one_more(next.term, latest)?, id);
                    next
                }
            };
            // It is not known of yet: what the latest is matters only once this one is made.
            let before = latest.unwrap_or_else(|| Latest::new(next.clone(), &Bytes::new()));
            let mut writer =
                Self { store: store.clone(), id, latest: before, unsure: false, pruned: 0 };
            match writer.commit(next) {
                Err(error) if error.kind() == ErrorKind::Fenced => {}
                other => {
                    other?;
                    writer.is_refused()?;
                    return Ok(writer);
                }
            }
        }
        Err(Error::new(ErrorKind::Fenced, "other archivers take it over all the time"))
    }

    /// That the store refuses a second object of a name, asked with the generation just made. Without that, two
    /// archivers would write over each other, and nobody would notice.
    fn is_refused(&self) -> Result<()> {
        let name = Manifest::name_of(self.manifest().generation);
        let (store, bytes, again) = (self.store.clone(), self.manifest().encode()?, name.clone());
        let made = self.store.run(async move {
            let made = store.put_new(&again, bytes).await?;
            // While this one slept, others may have gone on, and removed it.
            let later = store.list(MANIFESTS, Some(&again)).await?;
            Ok((made, later.iter().filter_map(|one| Manifest::generation_of(&one.name)).max()))
        })?;
        match made {
            (Made::WasThere, _) => Ok(()),
            (Made::Made, Some(later)) => Err(slept(later)),
            (Made::Made, None) => {
                let what = "the store made an object again that was there: it does not honour \
                            conditional writes, by which archivers are kept apart";
                Err(Error::new(ErrorKind::Unsupported, what)
                    .object(name)
                    .advice("use a store, or a newer version of it, that has If-None-Match"))
            }
        }
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.latest.manifest
    }

    /// When the newest generation was made, by the store's clock, in microseconds since 1970.
    ///
    /// # Errors
    /// `Store`.
    pub(crate) fn made_at(&self) -> Result<Option<u64>> {
        let (store, name) = (self.store.clone(), Manifest::name_of(self.manifest().generation));
        self.store.run(async move {
            let listed = store.list(MANIFESTS, None).await?;
            Ok(listed.into_iter().find(|one| one.name == name).map(|one| one.micros))
        })
    }

    pub(crate) fn contents(&self) -> Contents {
        Contents::of(&self.store, self.latest.clone())
    }

    /// Where an archive without entries begins: the next generation says so.
    pub(crate) fn begin_at(&mut self, first_seq: u64) {
        let manifest = Arc::make_mut(&mut self.latest.manifest);
        (manifest.first_seq, manifest.end) = (first_seq.max(1), first_seq.max(1));
    }

    /// The next generation, to be changed and committed.
    ///
    /// # Errors
    /// `Corrupt`: the newest one's number has none behind it.
    pub(crate) fn next(&self) -> Result<Manifest> {
        follow(&self.latest)
    }

    /// Goes on after a failure: makes sure which generation is the newest.
    ///
    /// # Errors
    /// `Fenced`, `Corrupt`, `Store`.
    pub(crate) fn settle(&mut self) -> Result<()> {
        if !self.unsure {
            return Ok(());
        }
        let next = self.next()?;
        self.put(next).map(drop)
    }

    /// Makes `next` the newest generation.
    ///
    /// # Errors
    /// `Fenced`: another's is; `Store`: it may be, and [`settle`](Self::settle) tells.
    pub(crate) fn commit(&mut self, next: Manifest) -> Result<()> {
        if self.put(next)? {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Store, "an earlier write came through late")
            .advice("it is gone on from; the next try does what was wanted now"))
    }

    /// As [`commit`](Self::commit). False: our own was there, of a request that was given up and came through after
    /// all; it is the newest now.
    fn put(&mut self, next: Manifest) -> Result<bool> {
        let (bytes, name) = (next.encode()?, Manifest::name_of(next.generation));
        let (store, id, put) = (self.store.clone(), self.id, bytes.clone());
        self.unsure = true;
        let found = self.store.run(async move {
            let made = store.put_new(&name, put.clone()).await?;
            let there = match made {
                Made::Made => None,
                Made::WasThere => store.read(&name, MOST_BYTES).await?,
            };
            let is_there = made == Made::Made || there.is_some();
            let found = there.filter(|there| *there != put);
            if let Some(there) = &found {
                let there = Manifest::decode(there, &name)?;
                if there.writer != id {
                    return Err(fenced(&there));
                }
            }
            let later = store.list(MANIFESTS, Some(&name)).await?;
            let later = later.iter().filter_map(|one| Manifest::generation_of(&one.name)).max();
            match later {
                None if is_there => Ok(found),
                // S3 answers so, too, where another request for the same name is still under way.
                None => Err(refused(&name)),
                Some(generation) => Err(slept(generation)),
            }
        })?;
        self.unsure = false;
        if let Some(there) = found {
            let name = Manifest::name_of(next.generation);
            self.latest = Latest::new(Manifest::decode(&there, &name)?, &there);
            return Ok(false);
        }
        self.latest = Latest::new(next, &bytes);
        Ok(true)
    }

    /// Makes objects, all at once.
    ///
    /// # Errors
    /// `Store`; some may be there then, and are named by nothing.
    pub(crate) fn make(&self, drafts: Vec<Draft>) -> Result<Vec<Part>> {
        let (store, term) = (self.store.clone(), self.manifest().term);
        self.store.run(async move {
            let one = |draft| {
                let store = store.clone();
                async move { make(&store, CHUNKS, term, draft).await }
            };
            try_join_all(drafts.into_iter().map(one)).await
        })
    }

    /// Moves the oldest objects of a long list to a page.
    ///
    /// # Errors
    /// `Store`.
    pub(crate) fn turn_page(&self, next: &mut Manifest) -> Result<()> {
        while next.chunks.len() >= 2 * PER_PAGE {
            let chunks: Vec<Part> = next.chunks.drain(..PER_PAGE).collect();
            let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else { break };
            let part = Part {
                name: String::new(),
                sha256: String::new(),
                bytes: 0,
                first: first.first,
                end: last.end,
                from_micros: first.from_micros,
                by_micros: last.by_micros,
                stands_for: chunks.iter().fold(0, |sum, one| sum.saturating_add(one.stands_for)),
                partial: false,
            };
            let draft = Draft { bytes: Page { chunks }.encode()?, part };
            let (store, term) = (self.store.clone(), next.term);
            let page = self.store.run(async move { make(&store, PAGES, term, draft).await })?;
            next.pages.push(page);
        }
        Ok(())
    }

    /// Removes objects that the newest generation does not name. That some are left is no failure: sweeping finds
    /// them.
    pub(crate) fn remove(&self, names: Vec<String>) {
        if !names.is_empty() && !self.unsure {
            let store = self.store.clone();
            drop(self.store.run(async move { store.remove(&names).await }));
        }
    }

    /// Removes old generations, from time to time. That some are left is no failure: it is tried again.
    pub(crate) fn prune(&mut self) {
        let newest = self.manifest().generation;
        if newest.saturating_sub(self.pruned) < KEPT / 2 {
            return;
        }
        let store = self.store.clone();
        let removed = self.store.run(async move {
            let old = |name: &str| {
                Manifest::generation_of(name)
                    .is_some_and(|number| number < newest.saturating_sub(KEPT))
            };
            let listed = store.list(MANIFESTS, None).await?;
            let old: Vec<_> =
                listed.into_iter().map(|one| one.name).filter(|name| old(name)).collect();
            if old.is_empty() { Ok(()) } else { store.remove(&old).await }
        });
        if removed.is_ok() {
            self.pruned = newest;
        }
    }

    /// Removes all objects that nothing names. Returns how many, and their bytes.
    ///
    /// # Errors
    /// `Fenced`, `Corrupt`, `Store`.
    pub(crate) fn sweep(&mut self) -> Result<(u64, u64)> {
        self.settle()?;
        let (store, manifest) = (self.store.clone(), (*self.latest.manifest).clone());
        self.store.run(async move {
            let named = named(&store, &manifest).await?;
            let mut listed = store.list(CHUNKS, None).await?;
            listed.extend(store.list(PAGES, None).await?);
            listed.retain(|one| {
                !named.contains(&one.name) && term_of(&one.name).is_some_and(|t| t <= manifest.term)
            });
            let bytes = listed.iter().fold(0_u64, |sum, one| sum.saturating_add(one.bytes));
            let names: Vec<_> = listed.into_iter().map(|one| one.name).collect();
            if !names.is_empty() {
                store.remove(&names).await?;
            }
            Ok((crate::store::size(names.len()), bytes))
        })
    }
}

/// All objects that a generation names.
pub(crate) async fn named(store: &Store, manifest: &Manifest) -> Result<BTreeSet<String>> {
    let mut named: BTreeSet<String> = BTreeSet::new();
    named.extend(manifest.chunks.iter().map(|part| part.name.clone()));
    for part in &manifest.pages {
        named.insert(part.name.clone());
        let page = read_page(store, part).await?;
        let kept = page.chunks.into_iter().filter(|chunk| chunk.first >= part.first);
        named.extend(kept.map(|chunk| chunk.name));
    }
    Ok(named)
}

/// The generation that comes behind `latest`.
///
/// # Errors
/// `Corrupt`: there is no number behind its own.
fn follow(latest: &Latest) -> Result<Manifest> {
    let mut next = (*latest.manifest).clone();
    next.generation = one_more(next.generation, latest)?;
    next.previous.clone_from(&latest.sha256);
    Ok(next)
}

/// A number of `latest`, counted up.
///
/// # Errors
/// `Corrupt`: nobody has counted so far; it was made up.
fn one_more(number: u64, latest: &Latest) -> Result<u64> {
    let made_up = || Error::corrupt("its generation or its term is the last number there is");
    let name = Manifest::name_of(latest.manifest.generation);
    number.checked_add(1).ok_or_else(|| made_up().object(name))
}

async fn make(store: &Store, folder: &str, term: u64, draft: Draft) -> Result<Part> {
    let Draft { bytes, mut part } = draft;
    let (hash, len) = crate::chunk::noted(&bytes);
    for _ in 0..RETRIES {
        let chance = random()?;
        let end = if folder == PAGES { "json" } else { "frames" };
        let name =
            format!("{folder}/{:020}-{:020}-{term:010}-{chance:032x}.{end}", part.first, part.end);
        // One that is there is of an own try that failed: what became of it is not known, so it is left.
        if store.put_new(&name, bytes.clone()).await? == Made::Made {
            (part.name, part.sha256, part.bytes) = (name, hash, len);
            if folder == CHUNKS {
                part.stands_for = len;
            }
            return Ok(part);
        }
    }
    Err(Error::new(ErrorKind::Store, "each name that was tried is there already").object(folder))
}

/// The term in an object's name.
fn term_of(name: &str) -> Option<u64> {
    name.split('-').nth(2)?.parse().ok()
}

fn fenced(by: &Manifest) -> Error {
    let what = format!(
        "another archiver has taken over: generation {} is of term {}, writer {:032x}",
        by.generation, by.term, by.writer
    );
    Error::new(ErrorKind::Fenced, what)
        .object(Manifest::name_of(by.generation))
        .advice("only one archiver may write to a prefix; end one of the two")
}

/// The store says that the generation is there, and it is not.
fn refused(name: &str) -> Error {
    let what = "the store refused it as one that is there already, and none is";
    Error::new(ErrorKind::Store, what).object(name).advice("try again")
}

/// Others went on for so long that the generations after our last one were removed.
fn slept(generation: u64) -> Error {
    let what = format!("another archiver has taken over: there is generation {generation}");
    Error::new(ErrorKind::Fenced, what)
        .object(MANIFESTS)
        .advice("only one archiver may write to a prefix; end one of the two")
}

/// # Errors
/// `Store` where the machine gives no random numbers.
fn random() -> Result<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(ErrorKind::Store, format!("no random numbers: {error}")))?;
    Ok(u128::from_le_bytes(bytes))
}
