//! Whether all that the manifest names is in the bucket, and is what was shipped.

use std::collections::{BTreeMap, BTreeSet};

use walden::Frames;

use crate::archive::Archive;
use crate::contents::{Contents, fetch};
use crate::dictionaries;
use crate::error::{Error, Result};
use crate::manifest::{CHUNKS, PAGES, Part};
use crate::restore::Reading;
use crate::writer::named;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Depth {
    /// The manifest, its pages, and that each object is there and of the right size. Costs a list, no reading.
    Listed,
    /// Every byte: hashes, checksums of each record, seq ids, the dictionaries that records are compressed with.
    Read,
}

/// What verifying found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Verified {
    /// The newest generation of the manifest.
    pub generation: u64,
    /// The first seq id.
    pub first_seq: u64,
    /// The seq id that follows the last entry.
    pub next_seq: u64,
    /// Objects of records.
    pub objects: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Dictionaries that the entries need; looked at with [`Depth::Read`] alone, as it is the entries that tell.
    pub dictionaries: u64,
    /// What is not as it should be, in the order of the log.
    pub damages: Vec<Error>,
    /// Objects that nothing names: of an archiver that was killed, or of entries that were cut. No harm; the next
    /// sweep removes them.
    pub unnamed: u64,
    /// Bytes of those.
    pub unnamed_bytes: u64,
}

impl Verified {
    /// Whether something that was archived is missing or changed.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        !self.damages.is_empty()
    }
}

impl Archive {
    /// Looks at everything that the newest manifest names. Changes nothing, and works beside an archiver: what it
    /// replaces meanwhile is looked at again, each object once; what it ships behind the end that was found at first
    /// is left to the next verifying then.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` where the manifest itself is unsound; `Store`. Other damage is a finding, not an error.
    pub fn verify(&self, depth: Depth, progress: &mut dyn FnMut(Reading)) -> Result<Verified> {
        let mut contents = Contents::load(&self.store)?;
        let mut known = Known { end: contents.manifest().end, ..Known::default() };
        loop {
            let mut verified = look(self, &mut contents, &mut known, depth, progress)?;
            if !verified.is_damaged() || !contents.refresh()? {
                return Ok(verified);
            }
            // Beside an archiver, what is missing may have been put together with its neighbours. What is named still
            // is damage, however often there is a newer generation; so is a dictionary that is needed.
            let named = names(&mut contents)?;
            let still = |name: &str| named.contains(name) || name.starts_with(dictionaries::FOLDER);
            verified.damages.retain(|damage| damage.object_name().is_none_or(still));
            if verified.is_damaged() {
                return Ok(verified);
            }
        }
    }
}

/// What earlier looks found sound. Without it, an archiver that replaces small objects faster than all are read would
/// keep verifying from ever ending.
#[derive(Debug, Default)]
struct Known {
    /// Objects by name and hash.
    sound: BTreeSet<(String, String)>,
    /// Each dictionary that is needed, and from which object on.
    needed: BTreeMap<u32, u64>,
    /// Those of them that were read.
    dictionaries: BTreeSet<u32>,
    /// Where the archive ended at the first look: each time something is shipped, more is there to be replaced.
    end: u64,
}

/// All objects that the newest generation names, as far as its pages can be read.
fn names(contents: &mut Contents) -> Result<BTreeSet<String>> {
    let manifest = contents.manifest().clone();
    let mut names: BTreeSet<String> =
        manifest.pages.iter().chain(&manifest.chunks).map(|part| part.name.clone()).collect();
    for page in &manifest.pages {
        match contents.chunks_of(page) {
            Ok(chunks) => names.extend(chunks.into_iter().map(|chunk| chunk.name)),
            // It is named itself, and damaged.
            Err(error) if error.kind() == crate::ErrorKind::Corrupt => {}
            Err(error) => return Err(error),
        }
    }
    Ok(names)
}

fn look(
    archive: &Archive,
    contents: &mut Contents,
    known: &mut Known,
    depth: Depth,
    progress: &mut dyn FnMut(Reading),
) -> Result<Verified> {
    let store = archive.store.clone();
    let listed = archive.store.run(async move {
        let mut listed = store.list(CHUNKS, None).await?;
        listed.extend(store.list(PAGES, None).await?);
        Ok(listed.into_iter().map(|one| (one.name, one.bytes)).collect::<BTreeMap<_, _>>())
    })?;
    let manifest = contents.manifest().clone();
    let mut found = Verified {
        generation: manifest.generation,
        first_seq: manifest.first_seq,
        next_seq: manifest.first_seq,
        objects: 0,
        bytes: 0,
        dictionaries: 0,
        damages: Vec::new(),
        unnamed: 0,
        unnamed_bytes: 0,
    };
    let total = manifest.bytes();
    let mut one = |part: &Part, found: &mut Verified| -> Result<()> {
        if part.first >= known.end {
            return Ok(());
        }
        found.objects += 1;
        found.next_seq = part.end;
        found.bytes = found.bytes.saturating_add(part.bytes);
        let named = (part.name.clone(), part.sha256.clone());
        if known.sound.contains(&named) {
            return Ok(());
        }
        match look_at(archive, part, &listed, depth, &mut known.needed)? {
            Some(damage) => found.damages.push(damage),
            None => _ = known.sound.insert(named),
        }
        progress(Reading { done: found.bytes, total: total.max(found.bytes) });
        Ok(())
    };
    for page in &manifest.pages {
        match contents.chunks_of(page) {
            Ok(chunks) => chunks.iter().try_for_each(|part| one(part, &mut found))?,
            Err(error) if error.kind() == crate::ErrorKind::Corrupt => found.damages.push(error),
            Err(error) => return Err(error),
        }
    }
    manifest.chunks.iter().try_for_each(|part| one(part, &mut found))?;
    look_at_dictionaries(archive, known, &mut found)?;
    if !found.is_damaged() {
        let store = archive.store.clone();
        let named = archive.store.run(async move { named(&store, &manifest).await })?;
        let unnamed = listed.iter().filter(|(name, _)| !named.contains(*name));
        for (_, bytes) in unnamed {
            found.unnamed += 1;
            found.unnamed_bytes = found.unnamed_bytes.saturating_add(*bytes);
        }
    }
    Ok(found)
}

/// Those that are needed, each read once.
fn look_at_dictionaries(archive: &Archive, known: &mut Known, found: &mut Verified) -> Result<()> {
    for (id, first) in &known.needed {
        found.dictionaries += 1;
        if known.dictionaries.contains(id) {
            continue;
        }
        match dictionaries::fetch(&archive.store, *id) {
            Ok(_) => _ = known.dictionaries.insert(*id),
            Err(error) if error.kind() == crate::ErrorKind::Corrupt => {
                found.damages.push(error.seq_at(*first));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What is wrong with one object.
fn look_at(
    archive: &Archive,
    part: &Part,
    listed: &BTreeMap<String, u64>,
    depth: Depth,
    needed: &mut BTreeMap<u32, u64>,
) -> Result<Option<Error>> {
    let wrong = |what: String| Error::corrupt(what).object(&part.name).seq_at(part.first);
    match listed.get(&part.name) {
        None => return Ok(Some(crate::contents::missing_object(&part.name, part.first))),
        Some(bytes) if *bytes != part.bytes => {
            let what = format!("it has {bytes} bytes, and the manifest says {}", part.bytes);
            return Ok(Some(wrong(what)));
        }
        Some(_) => {}
    }
    if depth == Depth::Listed {
        return Ok(None);
    }
    let (store, wanted) = (archive.store.clone(), part.clone());
    match archive.store.run(async move { fetch(&store, &wanted).await }) {
        Ok(Some(chunk)) => {
            // What was cut off behind the part's end needs nothing any more.
            let of_part = chunk.frames.within(part.first..part.end);
            for id in of_part.iter().flat_map(Frames::dictionaries) {
                needed.entry(id).or_insert(part.first);
            }
            Ok(None)
        }
        Ok(None) => Ok(Some(crate::contents::missing_object(&part.name, part.first))),
        Err(error) if error.kind() == crate::ErrorKind::Corrupt => Ok(Some(error)),
        Err(error) => Err(error),
    }
}
