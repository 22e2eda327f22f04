//! Writing a log elsewhere: a mark that it is unfinished, then segments, then the manifest that names them in the mark's
//! place, everything synced. So what is ended between, by whatever it be, is never taken for a log.

use std::path::Path;

use super::Target;
use super::rebuild::{random, sync_dir};
use super::survey::{Piece, Run};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Epoch, Manifest, ManifestFile, Place, find};
use crate::num;
use crate::recover::make_folder;
use crate::segment::{READ_AHEAD, RecordSource, Step};
use crate::storage::{Access, File, write_full};
use crate::sync::Arc;

/// Bytes written at once.
const PIECE: usize = 1 << 20;

/// Makes a folder for what is written; refuses one that holds anything.
///
/// # Errors
/// `InvalidInput` where there is something in it; `Io`.
pub(super) fn empty_folder(target: &Target, dir: &Path) -> Result<()> {
    make_folder(&*target.storage, &target.at(dir).names)?;
    let entries =
        target.storage.list(dir).map_err(|error| Error::io("list the folder", dir, error))?;
    if !entries.is_empty() {
        if let Err(error) = find(&*target.storage, &target.at(dir).names)
            && error.kind() == ErrorKind::Unsupported
        {
            return Err(error);
        }
        return Err(Error::invalid("the folder is not empty: nothing is written over")
            .path(dir)
            .advice("name another one, or remove it if it is what a run that was ended left"));
    }
    Ok(())
}

/// A file being written from its beginning.
pub(super) struct Sink<'a> {
    file: Arc<dyn File>,
    path: &'a Path,
    buffer: Vec<u8>,
    written: u64,
}

impl<'a> Sink<'a> {
    pub(super) fn create(target: &Target, path: &'a Path) -> Result<Self> {
        let file = target.storage.create(path).map_err(|error| Error::io("create", path, error))?;
        Ok(Self { file, path, buffer: Vec::with_capacity(PIECE), written: 0 })
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        write_full(&*self.file, &self.buffer, self.written)
            .map_err(|error| Error::io("write", self.path, error))?;
        self.written += num::size(self.buffer.len());
        self.buffer.clear();
        Ok(())
    }

    /// Syncs what was written; returns how much that is.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.flush()?;
        self.file.sync_all().map_err(|error| Error::io("sync", self.path, error))?;
        Ok(self.written)
    }
}

/// Copies the sound records of a run, proving each once more. A wrong footer is set right.
pub(super) fn put_run(sink: &mut Sink<'_>, piece: &Piece, run: &Run) -> Result<()> {
    let mut source = RecordSource::new(Arc::clone(&piece.from.file), READ_AHEAD);
    let io = |error| Error::io("read", &piece.from.path, error);
    let mut at = run.from;
    while at < run.to {
        let (len, size) = match source.record_at(at, run.to).map_err(io)? {
            Step::Record(record) => (record.len(), record.header.size),
            _ => {
                return Err(Error::corrupt("a record was sound a moment ago, and is not any more")
                    .path(&piece.from.path)
                    .offset_at(at));
            }
        };
        let bytes = source.window(at, len, run.to).map_err(io)?;
        let footer = bytes.len().saturating_sub(8);
        sink.put(bytes.get(..footer).unwrap_or_default())?;
        sink.put(&crate::record::footer(size))?;
        at += len;
    }
    Ok(())
}

/// Copies a file byte by byte as far as it goes now.
pub(super) fn put_file(sink: &mut Sink<'_>, target: &Target, path: &Path) -> Result<()> {
    let io = |error| Error::io("read", path, error);
    let file = target.storage.open(path, Access::Read).map_err(io)?;
    let mut buffer = vec![0; num::index(READ_AHEAD)];
    let mut at = 0;
    loop {
        let got = crate::storage::read_full(&*file, &mut buffer, at).map_err(io)?;
        sink.put(buffer.get(..got).unwrap_or_default())?;
        at += num::size(got);
        if got < buffer.len() {
            return Ok(());
        }
    }
}

/// A segment as it was written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) ordinal: u64,
    pub(super) len: u64,
    pub(super) first_seq: u64,
    pub(super) next_seq: u64,
}

/// Makes the manifest of a log that consists of `segments` alone: `like` another one, or a new log's.
pub(super) fn finish_log(
    target: &Target,
    segments: &[Written],
    first_seq: u64,
    like: Option<&Manifest>,
) -> Result<()> {
    let Some((last, sealed)) = segments.split_last() else {
        return Err(Error::corrupt("there is nothing sound to be written").path(target.dir()));
    };
    sync_dir(target)?;
    let first_ordinal = segments.first().map_or(last.ordinal, |segment| segment.ordinal);
    let (log_id, epochs) = match like {
        Some(manifest) => (manifest.log_id, manifest.epochs.clone()),
        None => (random(target)?, vec![Epoch { first_seq, id: random(target)? }]),
    };
    let manifest = Manifest {
        log_id,
        generation: 1,
        epochs,
        first_seq,
        first_ordinal,
        open_from: last.ordinal,
        open_seq: last.first_seq,
        sealed_count: num::size(sealed.len()),
        active: last.ordinal,
        next_ordinal: last.ordinal + 1,
        lowest_next: last.next_seq,
        base: Some(Place { ordinal: last.ordinal, offset: last.len, next_seq: last.next_seq }),
        cut: None,
        losses: like.map(|manifest| manifest.losses.clone()).unwrap_or_default(),
        meta: like.map(|manifest| manifest.meta.clone()).unwrap_or_default(),
    };
    ManifestFile::create(&*target.storage, &target.names, &manifest)
}
