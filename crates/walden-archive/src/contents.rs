//! The archive as one who reads it sees it: the newest generation, its pages, and the objects of records.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;

use crate::chunk::{Chunk, sha256};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{CHUNKS, MANIFESTS, MOST_BYTES, MOST_CHUNK_BYTES, Manifest, Page, Part};
use crate::store::Store;

/// How often the manifest is looked for again because it was replaced meanwhile.
const RETRIES: u32 = 8;

/// A generation, and the hash by which the next one names it.
#[derive(Debug, Clone)]
pub(crate) struct Latest {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) sha256: String,
}

impl Latest {
    pub(crate) fn new(manifest: Manifest, bytes: &Bytes) -> Self {
        Self { manifest: Arc::new(manifest), sha256: sha256(bytes) }
    }

    /// The newest generation; `None` where there is no archive.
    ///
    /// # Errors
    /// `Corrupt`, where the newest one is unsound: an older one would be less than what was promised.
    pub(crate) async fn load(store: &Store) -> Result<Option<Self>> {
        for _ in 0..RETRIES {
            let listed = store.list(MANIFESTS, None).await?;
            let newest = listed.iter().filter_map(|one| Manifest::generation_of(&one.name)).max();
            let Some(newest) = newest else { return Ok(None) };
            let name = Manifest::name_of(newest);
            // Older ones are removed while newer ones are made.
            let Some(bytes) = store.read(&name, MOST_BYTES).await? else { continue };
            return Ok(Some(Self::new(Manifest::decode(&bytes, &name)?, &bytes)));
        }
        Err(Error::new(ErrorKind::Store, "the manifest was replaced each time it was looked for"))
    }

    /// As [`load`](Self::load), where records without a manifest are not taken for no archive.
    ///
    /// # Errors
    /// `Corrupt`, too, where there are objects of records and no manifest.
    pub(crate) async fn load_or_none(store: &Store) -> Result<Option<Self>> {
        let latest = Self::load(store).await?;
        if latest.is_some() || !has_chunks(store).await? {
            return Ok(latest);
        }
        // An archiver may have begun in between: its manifest is there before its first object.
        if let Some(latest) = Self::load(store).await? {
            return Ok(Some(latest));
        }
        Err(Error::corrupt("there are objects of records and no manifest")
            .object(MANIFESTS)
            .advice("put it back, if the bucket keeps versions; else use another prefix"))
    }
}

/// The newest generation, with what was read of its pages.
#[derive(Debug)]
pub(crate) struct Contents {
    store: Store,
    latest: Latest,
    /// The page that was asked last.
    page: Option<(Part, Page)>,
}

impl Contents {
    /// # Errors
    /// `NotFound` where there is no archive; as reading.
    pub(crate) fn load(store: &Store) -> Result<Self> {
        let own = store.clone();
        let latest = store.run(async move { Latest::load_or_none(&own).await })?;
        let Some(latest) = latest else { return Err(none(store)) };
        Ok(Self::of(store, latest))
    }

    pub(crate) fn of(store: &Store, latest: Latest) -> Self {
        Self { store: store.clone(), latest, page: None }
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.latest.manifest
    }

    /// Looks for a newer generation; false where there is none.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(crate) fn refresh(&mut self) -> Result<bool> {
        let again = Self::load(&self.store)?;
        let newer = again.manifest().generation != self.manifest().generation;
        *self = again;
        Ok(newer)
    }

    /// The object that holds `seq`, as the manifest has it.
    ///
    /// # Errors
    /// `OutOfRange` where it is not archived; `Corrupt`.
    pub(crate) fn part_with(&mut self, seq: u64) -> Result<Part> {
        let manifest = Arc::clone(&self.latest.manifest);
        if seq < manifest.first_seq || seq >= manifest.end {
            return Err(out_of_range(seq, &manifest));
        }
        let lost = || Error::corrupt("no object of the archive holds it").seq_at(seq);
        if let Some(part) = find(&manifest.chunks, seq) {
            return Ok(part.clone());
        }
        let page = find(&manifest.pages, seq).ok_or_else(lost)?;
        find(&self.chunks_of(page)?, seq).cloned().ok_or_else(lost)
    }

    /// The objects that a page lists and that are still of the archive.
    ///
    /// # Errors
    /// `Corrupt`: it is not what the manifest names, or missing.
    pub(crate) fn chunks_of(&mut self, page: &Part) -> Result<Vec<Part>> {
        if self.page.as_ref().is_none_or(|(known, _)| known != page) {
            let (store, part) = (self.store.clone(), page.clone());
            let read = self.store.run(async move { read_page(&store, &part).await })?;
            self.page = Some((page.clone(), read));
        }
        let chunks = self.page.iter().flat_map(|(_, page)| &page.chunks);
        let kept: Vec<_> = chunks.filter(|chunk| chunk.first >= page.first).cloned().collect();
        if kept.first().map(|chunk| chunk.first) != Some(page.first) {
            let what = "it does not list what the manifest says";
            return Err(Error::corrupt(what).object(&page.name).seq_at(page.first));
        }
        Ok(kept)
    }

    /// The objects from the one with `seq` on, at least one and at most `count`, with what they hold.
    ///
    /// # Errors
    /// `OutOfRange`, `Corrupt`.
    pub(crate) fn fetch_from(&mut self, seq: u64, count: usize) -> Result<Vec<(Part, Chunk)>> {
        loop {
            let first = self.part_with(seq)?;
            let mut parts = vec![first.clone()];
            while let Some(next) = parts.last().map(|part| part.end)
                && parts.len() < count
                && next < self.manifest().end
            {
                parts.push(self.part_with(next)?);
            }
            let store = self.store.clone();
            let wanted = parts.clone();
            let fetched = self.store.run(async move {
                let one = |part: Part| {
                    let store = store.clone();
                    async move { fetch(&store, &part).await }
                };
                try_join_all(wanted.into_iter().map(one)).await
            })?;
            // Up to one that is missing: the next call looks for that.
            let there: Vec<_> =
                parts.into_iter().zip(fetched.into_iter().map_while(|one| one)).collect();
            if !there.is_empty() {
                return Ok(there);
            }
            // It may have been put together with its neighbours, or was removed as too old. What is named still is
            // missing, however many newer generations there are.
            self.refresh()?;
            if self.part_with(seq)?.name == first.name {
                return Err(missing_object(&first.name, seq.max(first.first)));
            }
        }
    }
}

pub(crate) fn find(parts: &[Part], seq: u64) -> Option<&Part> {
    let at = parts.partition_point(|part| part.end <= seq);
    parts.get(at).filter(|part| part.first <= seq)
}

pub(crate) fn none(store: &Store) -> Error {
    let what = format!("there is no archive at {}", store.place());
    Error::new(ErrorKind::NotFound, what)
}

pub(crate) fn out_of_range(seq: u64, manifest: &Manifest) -> Error {
    let what = match manifest.is_empty() {
        true => "the archive has no entries yet".to_owned(),
        false => format!("the archive has seq ids {}..={}", manifest.first_seq, manifest.end - 1),
    };
    Error::new(ErrorKind::OutOfRange, what).seq_at(seq)
}

pub(crate) fn missing_object(name: &str, seq: u64) -> Error {
    Error::corrupt("it is missing, and the manifest names it")
        .object(name)
        .seq_at(seq)
        .advice("put it back, if the bucket keeps versions; the entries may still be in the log")
}

/// The page that `part` names.
///
/// # Errors
/// `Corrupt`.
pub(crate) async fn read_page(store: &Store, part: &Part) -> Result<Page> {
    match store.read(&part.name, MOST_BYTES).await? {
        Some(bytes) => Page::decode(&bytes, part),
        None => Err(missing_object(&part.name, part.first)),
    }
}

/// What an object of records holds, proved; `None` where it is not there.
///
/// # Errors
/// `Corrupt`: it is not what the manifest names.
pub(crate) async fn fetch(store: &Store, part: &Part) -> Result<Option<Chunk>> {
    let most = part.bytes.min(MOST_CHUNK_BYTES);
    let Some(bytes) = store.read(&part.name, most).await? else { return Ok(None) };
    let wrong = |what: &str| Error::corrupt(what).object(&part.name).seq_at(part.first);
    if sha256(&bytes) != part.sha256 {
        return Err(wrong("it is not what the manifest names: its hash differs"));
    }
    let chunk = Chunk::from_bytes(&bytes).map_err(|error| error.object(&part.name))?;
    let seqs = chunk.frames.seqs();
    if seqs.start != part.first || seqs.end < part.end {
        return Err(wrong("it does not hold the seq ids that the manifest says"));
    }
    Ok(Some(chunk))
}

/// Whether there are objects of records, though no manifest names any.
async fn has_chunks(store: &Store) -> Result<bool> {
    Ok(!store.list(CHUNKS, None).await?.is_empty())
}
