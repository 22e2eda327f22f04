//! `truncate_back`, `reset`, and the cut that recovery makes: one protocol.
//!
//! 1. what stays is durable and sealed up to K, the segment that keeps something;
//! 2. a manifest is synced that declares the cut: the commit point;
//! 3. the dead files go, the folder is synced, K is cut to its kept length and synced;
//! 4. a new active segment begins, its name is synced, and a manifest without the cut.
//!
//! Opening finishes steps 3 and 4. K is never appended to again, so that what was cut cannot come back.

use crate::error::{Error, Result};
use crate::keeper::Keeper;
use crate::manifest::{Cut, Manifest, Place};
use crate::segment::source::first_nonzero;
use crate::segment::{Names, ONE_RECORD, RecordSource, Step};
use crate::storage::{Access, Storage, write_full};
use crate::sync::Arc;

/// What a cut keeps.
#[derive(Debug, Clone)]
pub(crate) struct Keep {
    /// The next seq id after the cut.
    pub(crate) next_seq: u64,
    /// The segment that keeps something and how many of its bytes; `None`: the log becomes empty.
    pub(crate) kept: Option<(u64, u64)>,
    /// A record that must be written anew, where the cut goes through a batch: its bytes and the seq
    /// id of its first entry.
    pub(crate) survivors: Option<(u64, Vec<u8>)>,
}

impl Keeper {
    /// Steps 1 (the prepared file only) and 2. `segments` are the ordinals of all the log's segments.
    /// Everything that is kept is durable, and sealed but for K.
    ///
    /// # Errors
    /// `OutOfSpace` where the survivors of a batch find no room, with nothing done; else the log has failed.
    pub(crate) fn commit_cut(&mut self, keep: &Keep, segments: &[u64]) -> Result<()> {
        let mut next = self.manifest.clone();
        let highest = segments.last().map_or(0, |highest| highest + 1);
        next.next_ordinal = next.next_ordinal.max(highest);
        next.begin_epoch(keep.next_seq, self.random_id()?);
        next.lowest_next = keep.next_seq;
        next.losses.retain(|(_, last)| *last < keep.next_seq);
        let new = next.next_ordinal;
        match keep.kept {
            Some((ordinal, len)) => {
                let first = self.manifest.first_ordinal;
                let counted = segments.iter().filter(|o| (first..=ordinal).contains(*o)).count();
                next.open_from = ordinal + 1;
                next.sealed_count = crate::num::size(counted);
                next.base = Some(Place { ordinal, offset: len, next_seq: keep.next_seq });
            }
            None => {
                next.first_ordinal = new;
                next.first_seq = keep.next_seq;
                next.open_from = new;
                next.sealed_count = 0;
                next.base = Some(Place { ordinal: new, offset: 0, next_seq: keep.next_seq });
            }
        }
        next.open_seq = keep.survivors.as_ref().map_or(keep.next_seq, |(first, _)| *first);
        let prepared = self.prepare(new, keep)?;
        if let Some(len) = prepared {
            next.base = Some(Place { ordinal: new, offset: len, next_seq: keep.next_seq });
        }
        next.cut = Some(Cut {
            kept: keep.kept,
            dead_from: keep.kept.map_or(self.manifest.first_ordinal, |(ordinal, _)| ordinal + 1),
            dead_to: new,
            first_cut: if keep.kept.is_some() { next.open_seq } else { 0 },
            prepared,
        });
        self.commit(next)
    }

    /// Writes the entries of a batch that survive into the new active segment's file, before the commit.
    fn prepare(&self, ordinal: u64, keep: &Keep) -> Result<Option<u64>> {
        let Some((_, bytes)) = &keep.survivors else { return Ok(None) };
        let path = self.names.next(ordinal);
        self.remove_if_there(&path)?;
        let written = self.storage.create(&path).and_then(|file| {
            write_full(&*file, bytes, 0)?;
            file.sync_all()
        });
        if let Err(error) = written {
            drop(self.remove_if_there(&path));
            return Err(Error::io("write the surviving part of a batch", &path, error));
        }
        self.sync_dir()?;
        Ok(Some(crate::num::size(bytes.len())))
    }

    /// Step 3 of the cut that the manifest declares. Safe to repeat.
    ///
    /// # Errors
    /// `Corrupt` where a dead file holds what the cut does not cover, or K is shorter than it was; `Io`.
    pub(crate) fn remove_dead(&self, segments: &[u64]) -> Result<()> {
        let Some(cut) = self.manifest.cut else { return Ok(()) };
        for ordinal in segments.iter().filter(|o| (cut.dead_from..cut.dead_to).contains(*o)) {
            check_dead(&*self.storage, &self.names, *ordinal, &cut)?;
            self.remove_if_there(&self.names.wal(*ordinal))?;
            self.remove_if_there(&self.names.index(*ordinal))?;
        }
        self.sync_dir()?;
        // A front cut may have removed it since, while the end of this one waited for room.
        let first = self.manifest.first_ordinal;
        let Some((ordinal, len)) = cut.kept.filter(|(ordinal, _)| *ordinal >= first) else {
            return Ok(());
        };
        let path = self.names.wal(ordinal);
        let io = |doing: &str, error| Error::io(doing, &path, error);
        let file = self
            .storage
            .open(&path, Access::ReadWrite)
            .map_err(|error| io("open the segment that a cut keeps", error))?;
        let found = file.len().map_err(|error| io("tell the length", error))?;
        if found < len {
            return Err(Error::corrupt(format!(
                "a cut kept {len} bytes of this segment, and it has {found}"
            ))
            .path(&path)
            .offset_at(found));
        }
        if found > len {
            file.set_len(len).map_err(|error| io("cut the segment", error))?;
        }
        file.sync_all().map_err(|error| io("sync the segment", error))
    }

    /// Step 4: the new active segment. Returns its ordinal. Safe to repeat.
    ///
    /// # Errors
    /// `OutOfSpace` where there is no room for a name: to be tried again; `Corrupt`; `Io`.
    pub(crate) fn begin_after_cut(&mut self) -> Result<u64> {
        let Some(cut) = self.manifest.cut else { return Ok(self.manifest.active) };
        let ordinal = self.manifest.next_ordinal;
        let (next, wal) = (self.names.next(ordinal), self.names.wal(ordinal));
        match self.storage.open(&wal, Access::Read) {
            Ok(file) => self.check_begun(&wal, &*file, cut.prepared)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if cut.prepared.is_none() {
                    self.remove_if_there(&next)?;
                    drop(
                        self.storage
                            .create(&next)
                            .map_err(|error| Error::io("create the next segment", &next, error))?,
                    );
                }
                self.storage
                    .rename(&next, &wal)
                    .map_err(|error| Error::io("name the next segment", &wal, error))?;
            }
            Err(error) => return Err(Error::io("open the next segment", &wal, error)),
        }
        self.sync_dir()?;
        let mut manifest = self.manifest.clone();
        manifest.cut = None;
        manifest.active = ordinal;
        manifest.next_ordinal = ordinal + 1;
        self.commit(manifest)?;
        Ok(ordinal)
    }

    /// The new active segment is there already, by an unfinished step 4: it must hold what was prepared
    /// and nothing else.
    fn check_begun(
        &self,
        path: &std::path::Path,
        file: &dyn crate::storage::File,
        prepared: Option<u64>,
    ) -> Result<()> {
        let io = |error| Error::io("read the next segment", path, error);
        let len = file.len().map_err(io)?;
        let begin = prepared.unwrap_or(0);
        if len < begin {
            return Err(Error::corrupt(format!(
                "a cut prepared {begin} bytes of this segment, and it has {len}"
            ))
            .path(path)
            .offset_at(len));
        }
        match first_nonzero(file, begin, len).map_err(io)? {
            None => Ok(()),
            Some(at) => Err(Error::corrupt("the segment that begins after a cut is not empty")
                .path(path)
                .offset_at(at)),
        }
    }
}

impl Manifest {
    /// Whether a cut names this ordinal's `.next` file.
    pub(crate) fn needs_next(&self, ordinal: u64) -> bool {
        self.cut.is_some_and(|cut| cut.prepared.is_some()) && ordinal == self.next_ordinal
    }
}

/// A file that was declared dead may be torn or zeroed. It is refused only if it holds, soundly,
/// what the cut does not cover: then it is not the file that was meant.
///
/// # Errors
/// `Corrupt`, with what to do about it; `Io`.
pub(crate) fn check_dead(
    storage: &dyn Storage,
    names: &Names,
    ordinal: u64,
    cut: &Cut,
) -> Result<()> {
    let path = names.wal(ordinal);
    let io = |error| Error::io("read a segment that was cut", &path, error);
    let file = match storage.open(&path, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error)),
    };
    let len = file.len().map_err(io)?;
    let mut source = RecordSource::new(Arc::clone(&file), ONE_RECORD);
    if let Step::Record(record) = source.record_at(0, len).map_err(io)?
        && record.seq() < cut.first_cut
    {
        return Err(Error::corrupt(format!(
            "this segment was cut from seq id {} on, and begins with {}",
            cut.first_cut,
            record.seq()
        ))
        .path(&path)
        .offset_at(0)
        .advice("was it restored from a backup? move it away to open the log without it"));
    }
    Ok(())
}
