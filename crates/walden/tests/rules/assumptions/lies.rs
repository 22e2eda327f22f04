//! "When a sync returns, the bytes survive a power cut", and a new length does: not so from some sync on.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use walden::SyncStrategy;
use walden::storage::{Access, File, Storage};
use walden_sim::SimDisk;

use super::{is_segment, open_over, opened_or_damaged};
use crate::support::{Lab, payloads};

/// A disk that syncs so many times as it is asked to, and then only says so: all files and folders, or the segments.
#[derive(Debug, Clone)]
pub(super) struct Liar {
    disk: SimDisk,
    honest: Arc<AtomicU64>,
    segments_only: bool,
}

#[derive(Debug)]
struct LiarsFile {
    inner: Arc<dyn File>,
    liar: Option<Liar>,
}

impl Liar {
    pub(super) fn new(lab: &Lab, honest: u64, segments_only: bool) -> Self {
        Self { disk: lab.disk.clone(), honest: Arc::new(AtomicU64::new(honest)), segments_only }
    }

    fn is_honest(&self) -> bool {
        let less = |left: u64| left.checked_sub(1);
        self.honest.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
    }

    fn has_lied(&self) -> bool {
        self.honest.load(Ordering::SeqCst) == 0
    }

    fn file(&self, path: &Path, inner: Arc<dyn File>) -> Arc<dyn File> {
        let liar = (!self.segments_only || is_segment(path)).then(|| self.clone());
        Arc::new(LiarsFile { inner, liar })
    }
}

impl Storage for Liar {
    forward!(self, self.disk; rename, remove, list, create_dir, lock);

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        Ok(self.file(path, self.disk.open(path, access)?))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.file(path, self.disk.create(path)?))
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.segments_only || self.is_honest() { self.disk.sync_dir(dir) } else { Ok(()) }
    }
}

impl LiarsFile {
    fn lies(&self) -> bool {
        self.liar.as_ref().is_some_and(|liar| !liar.is_honest())
    }
}

impl File for LiarsFile {
    forward!(self, self.inner; read_at, write_at, allocate, set_len, len, modified);

    fn sync_data(&self) -> io::Result<()> {
        if self.lies() { Ok(()) } else { self.inner.sync_data() }
    }
    fn sync_all(&self) -> io::Result<()> {
        if self.lies() { Ok(()) } else { self.inner.sync_all() }
    }
}

/// Twelve entries, four segments, over a disk that lies from the `honest`-th sync on. How many were acknowledged before
/// the first lie; `None`: it did not lie.
fn twelve(lab: &Lab, honest: u64, segments_only: bool) -> Option<usize> {
    let liar = Liar::new(lab, honest, segments_only);
    let wal = open_over(lab, liar.clone()).unwrap();
    let mut before = 0;
    // The lies go on until the power fails: a handle that is not dropped is not closed.
    for (at, payload) in payloads(1..=12).iter().enumerate() {
        wal.append(payload).unwrap();
        if !liar.has_lied() {
            before = at + 1;
        }
        wal.tick().unwrap();
    }
    std::mem::forget(wal);
    liar.has_lied().then_some(before)
}

/// A disk that lies about everything, from one sync of a history on: where all that came after is gone alike, the log
/// opens as it was then, or had not been made; where some of it survived, it holds the first entries, or is damaged. Nothing
/// is altered, and nothing from before the lies is lost in silence.
#[test]
fn a_disk_that_lies_about_syncs() {
    let (all, mut shorter, mut damaged) = (payloads(1..=12), 0, 0);
    let mut ended = false;
    for honest in 1..200 {
        let lab = Lab::new(SyncStrategy::Always, 240);
        let Some(before) = twelve(&lab, honest, false) else {
            ended = true;
            break;
        };
        let found = opened_or_damaged(&lab.power_cut().try_open(), &all);
        let found =
            found.unwrap_or_else(|| panic!("{honest}: all is gone alike, and it is damaged"));
        assert!(found >= before, "{honest}: {found} of {before} from before the lies");
        shorter += usize::from(found < all.len());
        for seed in 0..10 {
            match opened_or_damaged(&lab.power_cut_by(seed).try_open(), &all) {
                Some(found) => assert!(found >= before, "{honest}, {seed}: {found} of {before}"),
                None => damaged += 1,
            }
        }
    }
    assert!(ended && shorter > 0 && damaged > 0, "{shorter} shorter, {damaged} damaged");
}

/// Segments whose syncs are lies, beside a manifest and a folder whose are not: the mark survives, and says what is missing.
#[test]
fn a_disk_that_lies_about_segments_is_found_out_by_the_mark() {
    let (all, mut damaged) = (payloads(1..=12), 0);
    for honest in 1..12 {
        let lab = Lab::new(SyncStrategy::Always, 240);
        let Some(before) = twelve(&lab, honest, true) else { break };
        match opened_or_damaged(&lab.power_cut().try_open(), &all) {
            Some(found) => assert!(found >= before, "{honest}: {found} of {before}"),
            None => damaged += 1,
        }
    }
    assert!(damaged > 8, "{damaged} damaged");
}

/// A filesystem whose `fdatasync` makes bytes durable, but not a new length: only `fsync` does that.
#[derive(Debug, Clone)]
struct Lengths {
    disk: SimDisk,
    /// The durable length of each segment.
    durable: Arc<Mutex<BTreeMap<PathBuf, u64>>>,
}

#[derive(Debug)]
struct LengthsFile {
    inner: Arc<dyn File>,
    path: PathBuf,
    lengths: Lengths,
}

impl Lengths {
    fn file(&self, path: &Path, inner: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(LengthsFile { inner, path: path.to_owned(), lengths: self.clone() })
    }

    /// The disk when power is back.
    fn power_cut(&self) -> SimDisk {
        let image = self.disk.crash_losing_all();
        for path in image.files().iter().filter(|path| is_segment(path)) {
            let bytes = image.read_file(path).unwrap();
            let durable = self.durable.lock().unwrap().get(path).copied().unwrap_or(0);
            let len = bytes.len().min(usize::try_from(durable).unwrap());
            image.write_file(path, &bytes[..len]).unwrap();
        }
        image
    }
}

impl Storage for Lengths {
    forward!(self, self.disk; remove, list, create_dir, sync_dir, lock);

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        Ok(self.file(path, self.disk.open(path, access)?))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.file(path, self.disk.create(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)?;
        let mut durable = self.durable.lock().unwrap();
        if let Some(len) = durable.remove(from) {
            durable.insert(to.to_owned(), len);
        }
        Ok(())
    }
}

impl File for LengthsFile {
    forward!(self, self.inner; read_at, write_at, sync_data, allocate, set_len, len, modified);

    fn sync_all(&self) -> io::Result<()> {
        self.inner.sync_all()?;
        // A segment made ready has its later name when it is sealed.
        let path = self.path.with_extension("wal");
        self.lengths.durable.lock().unwrap().insert(path, self.inner.len()?);
        Ok(())
    }
}

/// It is a disk that lies about the segments that are not sealed: the mark says what is missing, if it is newer. Sealed ones
/// are synced by `fsync`, and whole.
#[test]
fn a_length_that_fdatasync_leaves_behind() {
    let (all, mut damaged) = (payloads(1..=12), 0);
    for (last, marked) in (1..=12).flat_map(|last| [(last, false), (last, true)]) {
        let lab = Lab::new(SyncStrategy::Always, 240);
        let lengths = Lengths { disk: lab.disk.clone(), durable: Arc::default() };
        let wal = open_over(&lab, lengths.clone()).unwrap();
        for payload in &all[..last] {
            wal.append(payload).unwrap();
            wal.tick().unwrap();
        }
        if marked {
            lab.clock.advance(Duration::from_secs(5));
            wal.tick().unwrap();
        }
        // Before it is closed, which syncs by `fsync`.
        match opened_or_damaged(&lab.with(lengths.power_cut()).try_open(), &all) {
            Some(found) => assert!(!marked && found >= (last - 1) / 3 * 3, "{found} of {last}"),
            None => damaged += 1,
        }
    }
    assert!(damaged >= 12, "{damaged} damaged");
}
