//! Rewrites the complete segments of a log, so that they are stored as if written with other compression.
//!
//! Each record is decoded, stored anew, and proved to hold what it held: seq ids, entries, times and the borders of
//! batches stay. One segment after the other, oldest first, in steps of which a crash may follow any:
//!
//! 1. The new file is written under the name of a segment made ready (`.next`), and synced; the index that fits it as
//!    `.idx.new`, and synced. Whatever is left of both, the next opening or the next run removes.
//! 2. The new index takes the old one's place, and the folder is synced. An index is bound to its segment's length:
//!    until the next step it is one that is not believed, and a run that goes on here has the times from it.
//! 3. The new file takes the segment's name, which is one step and leaves either file, both whole and synced; the folder
//!    is synced. Who reads the old file goes on in it.
//!
//! The manifest knows nothing of it, since it has no length of a complete segment; but it is written again first, as in
//! opening: the segment must not turn into one that is not complete, of which marks name places.

mod rewrite;

use std::path::Path;

use self::rewrite::{Rewriter, Segment};
use super::rebuild::sync_dir;
use super::survey::{Known, read_known};
use super::{Progress, Target};
use crate::config::{BatchFormat, Compression};
use crate::dictionaries::{self, Dictionaries};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Manifest, ManifestFile};
use crate::num;
use crate::record::{Codec, Dictionary, ForWriting};
use crate::recover::scan::Candidate;
use crate::recover::{Folder, WriterLock};
use crate::storage::Access;
use crate::sync::Arc;

/// How segments are to be stored.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Recompress {
    compression: Compression,
    dictionary: bool,
    again: bool,
}

impl Recompress {
    /// As by [`Config::compression`](crate::Config::compression); [`Compression::None`] undoes compression. What does
    /// not get smaller, or has less than 64 bytes, is stored as it is.
    pub const fn to(compression: Compression) -> Self {
        Self { compression, dictionary: false, again: false }
    }

    /// With the log's newest dictionary, records of up to 32 KiB. For [`Compression::Zstd`] alone.
    pub const fn with_dictionary(mut self) -> Self {
        self.dictionary = true;
        self
    }

    /// Also what is stored by the same codec and dictionary already, maybe at another level.
    pub const fn again(mut self) -> Self {
        self.again = true;
        self
    }
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recompressed {
    /// Complete segments.
    pub segments: u64,
    /// How many of them were written anew; the others were as they should be.
    pub rewritten: u64,
    /// Records in all of them.
    pub records: u64,
    /// How many of those are compressed now.
    pub compressed: u64,
    /// Bytes of all of them before.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
}

/// Stores the complete segments of a log as `how` says; the one that is being written stays as it is. A run that was cut
/// off, by whatever, leaves a log that is whole, and the next one goes on.
///
/// # Errors
/// `Locked` beside a writer; `NotFound` where there is no log; `Unsupported` where this build is without a feature that a
/// record or `how` needs; `InvalidInput` where `how` makes no sense, and for a log of the Go library, which is to be adopted first;
/// `MissingDictionary`; `Corrupt` where a segment is damaged; `OutOfSpace`; `Io`. What was done before stays done.
pub fn compress(
    target: &Target,
    how: &Recompress,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recompressed> {
    how.compression.check(BatchFormat::Packed)?;
    let is_zstd = matches!(how.compression, Compression::Zstd { .. });
    if how.dictionary && !is_zstd {
        return Err(Error::invalid("only Zstandard compresses with a dictionary"));
    }
    // Before the lock, whose file would be made.
    known(target)?;
    let _lock = WriterLock::take(&*target.storage, &target.names)?;
    known(target)?;
    let (file, found) = ManifestFile::open(&*target.storage, &target.names)?;
    file.write_again(&found.manifest)?;
    let manifest = found.manifest;
    if manifest.cut.is_some() {
        return Err(Error::invalid("a cut is not finished: opening finishes it")
            .path(&target.names.manifest())
            .advice(format!("run: {} --yes", target.command("repair"))));
    }
    let dictionary = if how.dictionary { Some(newest(target)?) } else { None };
    let mut rewriter = Rewriter::new(target, manifest.log_id, how, dictionary)?;
    let segments = sealed(target, &manifest)?;
    let total = segments.iter().map(|(_, len)| len).sum();
    let mut done = Recompressed { segments: num::size(segments.len()), ..Default::default() };
    for (ordinal, len) in segments {
        let from = Candidate::open(&*target.storage, &target.names, ordinal, Access::Read)?;
        let (path, before) = (from.path.clone(), done.bytes_before);
        let mut tell = |at| progress(Progress { path: path.clone(), done: before + at, total });
        tell(0);
        let made = rewriter.segment(&from, &mut tell);
        let made = made.inspect_err(|_| rewriter.clean_up())?;
        done.records += made.records;
        done.compressed += made.compressed;
        done.bytes_before += len;
        done.bytes_after += if made.changed { made.len } else { len };
        if made.changed {
            replace(target, &made)?;
            done.rewritten += 1;
        }
        rewriter.clean_up();
    }
    Ok(done)
}

/// Refuses what has no sound manifest.
fn known(target: &Target) -> Result<()> {
    let (known, _) = read_known(target)?;
    match known {
        Known::Found(_) => Ok(()),
        Known::Unsound(error) | Known::Stranger(error) => Err(error),
        Known::Missing(_) => {
            let folder = Folder::list(&*target.storage, &target.names)?;
            if folder.segments.is_empty() {
                return Err(
                    Error::new(ErrorKind::NotFound, "there is no log here").path(target.dir())
                );
            }
            Err(Error::invalid(
                "there is no manifest: a log of the Go library, or one that lost it",
            )
            .path(target.dir())
            .advice(format!(
                "run: {}, or: {}",
                target.command("adopt"),
                target.command("repair")
            )))
        }
    }
}

/// The dictionary to compress with; it is on disk.
fn newest(target: &Target) -> Result<Arc<Dictionary>> {
    let (newest, wrong) = dictionaries::newest(&*target.storage, &target.names)?;
    let newest = match (newest, wrong) {
        (Some(newest), _) => newest,
        (None, Some(wrong)) => return Err(wrong),
        (None, None) => {
            return Err(Error::invalid("the log has no dictionary")
                .path(target.dir())
                .advice(format!("train one first: {}", target.command("dictionary train"))));
        }
    };
    dictionaries::settle(&*target.storage, &target.names, newest.id())?;
    Ok(Arc::new(newest))
}

/// Ordinals and lengths of the complete segments.
fn sealed(target: &Target, manifest: &Manifest) -> Result<Vec<(u64, u64)>> {
    let folder = Folder::list(&*target.storage, &target.names)?;
    let live = manifest.first_ordinal..manifest.open_from;
    let ordinals: Vec<u64> = folder.segments.into_iter().filter(|o| live.contains(o)).collect();
    if num::size(ordinals.len()) != manifest.sealed_count {
        return Err(Error::corrupt(format!(
            "{} complete segments are there, and the manifest counts {}",
            ordinals.len(),
            manifest.sealed_count
        ))
        .path(target.dir())
        .advice(format!("nothing was changed; run: {}", target.command("verify"))));
    }
    let (storage, names) = (&*target.storage, &target.names);
    let len = |ordinal| Ok((ordinal, Candidate::open(storage, names, ordinal, Access::Read)?.len));
    ordinals.into_iter().map(len).collect()
}

/// Steps 2 and 3.
fn replace(target: &Target, made: &Segment) -> Result<()> {
    let names = &target.names;
    let rename = |from: &Path, to: &Path| {
        target.storage.rename(from, to).map_err(|error| Error::io("rename", from, error))
    };
    rename(&names.index_new(made.ordinal), &names.index(made.ordinal))?;
    sync_dir(target)?;
    rename(&names.next(made.ordinal), &names.wal(made.ordinal))?;
    sync_dir(target)
}
