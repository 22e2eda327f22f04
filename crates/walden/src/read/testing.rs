//! A live log for tests of readers: real files, written by hand, and a real watermark.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::record::{encode, encode_packed};
use crate::segment::{FileCache, Index, Names, Segment};
use crate::snapshot::{Snapshot, View};
use crate::storage::OsStorage;
use crate::sync::{Arc, AtomicBool, AtomicUsize, Mutex, Ordering};
use crate::watermark::{Level, Watermark};

pub(super) const LOG_ID: u128 = 77;

#[derive(Debug)]
pub(super) struct Fake {
    /// Held for as long as the log.
    _dir: TempDir,
    names: Names,
    files: Arc<FileCache>,
    pub(super) mark: Watermark,
    snapshot: Mutex<Arc<Snapshot>>,
    pub(super) refreshed: AtomicUsize,
    /// As if another process wrote the log, of which nothing can be learnt now.
    pub(super) out_of_reach: AtomicBool,
}

/// What every test appends under a seq id.
pub(super) fn payload(seq: u64) -> Vec<u8> {
    let len = usize::try_from(seq * 37 % 211).unwrap();
    format!("entry {seq} ").into_bytes().into_iter().cycle().take(len).collect()
}

impl Fake {
    pub(super) fn new(first_seq: u64) -> Arc<Self> {
        let dir = tempfile::tempdir().unwrap();
        let names = Names::new(dir.path(), "segment");
        let files = Arc::new(FileCache::new(Arc::new(OsStorage::new()), &names));
        let list = Snapshot {
            log_id: LOG_ID,
            segments: Vec::new(),
            first_seq,
            epochs: Vec::new(),
            losses: Vec::new(),
        };
        let fake = Arc::new(Self {
            _dir: dir,
            names,
            files,
            mark: Watermark::new(first_seq),
            snapshot: Mutex::new(Arc::new(list)),
            refreshed: AtomicUsize::new(0),
            out_of_reach: AtomicBool::new(false),
        });
        fake.rotate();
        fake
    }

    /// `entries` entries, a new segment after every `per_segment`; every third segment has a batch, and
    /// every fifth is followed by an empty one.
    pub(super) fn filled(entries: u64, per_segment: u64) -> Arc<Self> {
        let fake = Self::new(1);
        let mut seq = 1;
        while seq <= entries {
            let last = (seq + per_segment - 1).min(entries);
            if (seq / per_segment) % 3 == 1 && last > seq {
                fake.append_batch(last - seq);
            }
            while fake.mark.appended() <= last {
                fake.append();
            }
            seq = last + 1;
            fake.rotate();
            if (seq / per_segment).is_multiple_of(5) {
                fake.rotate();
            }
        }
        fake
    }

    pub(super) fn view(self: &Arc<Self>) -> Arc<dyn View> {
        Arc::clone(self) as Arc<dyn View>
    }

    pub(super) fn path(&self, ordinal: u64) -> PathBuf {
        self.names.wal(ordinal)
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut snapshot = self.snapshot.lock();
        let mut next = Snapshot::clone(&snapshot);
        change(&mut next);
        *snapshot = Arc::new(next);
    }

    pub(super) fn rotate(&self) {
        self.change(|list| {
            let ordinal = list.segments.last().map_or(0, |last| last.ordinal + 1);
            fs::write(self.names.wal(ordinal), b"").unwrap();
            let files = Arc::clone(&self.files);
            let index = Some(Index::default());
            list.segments.push(Arc::new(Segment::open(
                &self.names,
                ordinal,
                files,
                None,
                0,
                index,
            )));
        });
    }

    pub(super) fn append(&self) -> u64 {
        let seq = self.mark.appended();
        let mut bytes = Vec::new();
        encode(&mut bytes, seq, &[&payload(seq)]);
        self.put(&bytes, seq, 1);
        seq
    }

    pub(super) fn append_batch(&self, count: u64) {
        let seq = self.mark.appended();
        let entries: Vec<Vec<u8>> = (seq..seq + count).map(payload).collect();
        let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        let mut bytes = Vec::new();
        encode_packed(&mut bytes, seq, &entries);
        self.put(&bytes, seq, count);
    }

    /// Appends bytes that stand for `count` entries from `seq` on.
    pub(super) fn put(&self, bytes: &[u8], seq: u64, count: u64) {
        self.put_unsynced(bytes, seq, count);
        self.mark.raise_durable(seq + count);
    }

    pub(super) fn put_unsynced(&self, bytes: &[u8], seq: u64, count: u64) {
        let active = Arc::clone(View::snapshot(self).segments.last().unwrap());
        let end = active.end().unwrap();
        append_to(&active.path, bytes);
        active.note_first_seq(seq);
        active.building(|index| index.as_mut().unwrap().add(end, seq, seq + count, 1_000 * seq));
        active.set_end(end + u64::try_from(bytes.len()).unwrap());
        self.mark.raise_appended(seq + count);
        self.mark.raise_written(seq + count);
        self.mark.tell_written();
    }

    /// Cuts everything from `at` on: the segments must begin there.
    pub(super) fn cut(&self, at: u64) {
        self.mark.cut(at, at);
        self.mark.tell_cut();
        self.change(|list| {
            let dead = |s: &Arc<Segment>| s.first_seq().unwrap().is_none_or(|first| first >= at);
            for segment in list.segments.iter().filter(|s| dead(s)) {
                segment.forget_file();
                fs::remove_file(&segment.path).unwrap();
            }
            let highest = list.segments.last().map_or(0, |last| last.ordinal + 1);
            list.segments.retain(|s| !dead(s));
            fs::write(self.names.wal(highest), b"").unwrap();
            let (files, index) = (Arc::clone(&self.files), Some(Index::default()));
            list.segments.push(Arc::new(Segment::open(
                &self.names,
                highest,
                files,
                None,
                0,
                index,
            )));
        });
    }

    /// Raises the first seq id and removes the segments before it.
    pub(super) fn truncate_front(&self, first: u64) {
        self.change(|list| {
            list.first_seq = first;
            while let [gone, next, ..] = list.segments.as_slice() {
                if next.first_seq().unwrap().is_none_or(|seq| seq > first) {
                    break;
                }
                gone.forget_file();
                fs::remove_file(&gone.path).unwrap();
                list.segments.remove(0);
            }
        });
    }

    /// Takes the indexes away, so that every seek begins at a segment's first record.
    pub(super) fn without_indexes(&self) {
        for segment in &View::snapshot(self).segments {
            segment.index_written();
        }
    }
}

pub(super) fn append_to(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// Changes a file's bytes.
pub(super) fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Numbers that look random, the same for each seed.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

impl View for Fake {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.lock())
    }

    fn refresh(&self) -> Result<()> {
        self.refreshed.fetch_add(1, Ordering::SeqCst);
        match self.is_foreign() {
            true => Err(Error::invalid("out of reach")),
            false => Ok(()),
        }
    }

    fn is_foreign(&self) -> bool {
        self.out_of_reach.load(Ordering::SeqCst)
    }

    fn end(&self, level: Level) -> u64 {
        match level {
            Level::Written => self.mark.written(),
            Level::Durable => self.mark.durable(),
        }
    }

    fn era(&self) -> u64 {
        self.mark.era()
    }

    fn cut_since(&self, era: u64) -> Option<u64> {
        self.mark.cut_since(era)
    }

    fn watermark(&self) -> Option<&Watermark> {
        Some(&self.mark)
    }
}
