//! The log that is archived: the one that this process writes, or one that it only reads.

use std::ops::Range;
use std::time::SystemTime;

use walden::{Entry, Frames, LogReader, Wal};

use crate::error::Result;

/// The log that an [`Archiver`](crate::Archiver) ships.
#[derive(Debug, Clone)]
pub struct Source(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// This process writes it: retention can be held back.
    Own(Wal),
    /// Another process may be writing it.
    Foreign(LogReader),
}

impl From<Wal> for Source {
    fn from(wal: Wal) -> Self {
        Self(Kind::Own(wal))
    }
}

impl From<LogReader> for Source {
    fn from(reader: LogReader) -> Self {
        Self(Kind::Foreign(reader))
    }
}

impl Source {
    /// The log, where this process writes it.
    pub(crate) const fn own(&self) -> Option<&Wal> {
        match &self.0 {
            Kind::Own(wal) => Some(wal),
            Kind::Foreign(_) => None,
        }
    }

    /// Looks at it again.
    pub(crate) fn refresh(&self) -> Result<()> {
        match &self.0 {
            Kind::Own(_) => Ok(()),
            Kind::Foreign(reader) => Ok(reader.refresh()?),
        }
    }

    pub(crate) fn first_seq(&self) -> u64 {
        match &self.0 {
            Kind::Own(wal) => wal.first_seq(),
            Kind::Foreign(reader) => reader.first_seq(),
        }
    }

    /// The seq id that follows the last durable entry.
    pub(crate) fn durable_end(&self) -> u64 {
        let durable = match &self.0 {
            Kind::Own(wal) => wal.durable_seq(),
            Kind::Foreign(reader) => reader.durable_seq(),
        };
        durable.saturating_add(1).max(self.first_seq())
    }

    /// The seq id that follows the last entry that is there, known to be durable or not.
    pub(crate) fn end(&self) -> u64 {
        match &self.0 {
            Kind::Own(wal) => wal.next_seq(),
            Kind::Foreign(reader) => reader.next_seq(),
        }
    }

    /// The seq id that follows the last complete segment.
    pub(crate) fn sealed_end(&self) -> Result<u64> {
        let segments = match &self.0 {
            Kind::Own(wal) => wal.segments(),
            Kind::Foreign(reader) => reader.segments(),
        };
        let sealed = segments?.into_iter().rev().filter(|segment| segment.sealed);
        let last = sealed.filter_map(|segment| segment.last_seq).next();
        Ok(last.map_or(0, |last| last.saturating_add(1)))
    }

    pub(crate) fn frames(&self, from: u64, max_bytes: u64) -> Result<Option<Frames>> {
        Ok(match &self.0 {
            Kind::Own(wal) => wal.frames(from, max_bytes)?,
            Kind::Foreign(reader) => reader.frames(from, max_bytes)?,
        })
    }

    /// The dictionaries that entries may be compressed with, by id.
    pub(crate) fn dictionaries(&self) -> Result<Vec<u32>> {
        let found = match &self.0 {
            Kind::Own(wal) => wal.dictionaries(),
            Kind::Foreign(reader) => reader.dictionaries(),
        };
        Ok(found?.into_iter().map(|dictionary| dictionary.id).collect())
    }

    /// What is in the file of one.
    pub(crate) fn dictionary(&self, id: u32) -> Result<Vec<u8>> {
        Ok(match &self.0 {
            Kind::Own(wal) => wal.dictionary(id)?,
            Kind::Foreign(reader) => reader.dictionary(id)?,
        })
    }

    /// Entries, which are given one after another.
    pub(crate) fn entries(
        &self,
        seqs: Range<u64>,
    ) -> Result<Box<dyn Iterator<Item = walden::Result<Entry>> + Send>> {
        Ok(match &self.0 {
            Kind::Own(wal) => Box::new(wal.range(seqs)?),
            Kind::Foreign(reader) => Box::new(reader.range(seqs)?),
        })
    }

    pub(crate) fn append_times(&self, seqs: Range<u64>) -> Vec<(u64, SystemTime)> {
        match &self.0 {
            Kind::Own(wal) => wal.append_times(seqs),
            Kind::Foreign(reader) => reader.append_times(seqs),
        }
    }
}
