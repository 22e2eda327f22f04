use std::io;
use std::time::SystemTime;

use super::super::Place;
use super::super::codec::tests::sample;
use super::*;

type AtSync = Box<dyn FnOnce() + Send>;

/// A file in memory, with something that happens while it is synced, after which marks find no room.
#[derive(Default)]
struct Memory {
    bytes: Mutex<Vec<u8>>,
    at_sync: Mutex<Option<AtSync>>,
    full: Mutex<bool>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Memory")
    }
}

impl File for Memory {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.bytes.lock();
        let rest = bytes.get(num::index(offset)..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        if *self.full.lock() && offset >= 4 * BLOCK {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let at = num::index(offset);
        self.bytes.lock()[at..at + buf.len()].copy_from_slice(buf);
        Ok(buf.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        let happens = self.at_sync.lock().take();
        if let Some(happens) = happens {
            happens();
            *self.full.lock() = true;
        }
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(FILE_LEN)
    }

    fn modified(&self) -> io::Result<SystemTime> {
        Ok(SystemTime::UNIX_EPOCH)
    }
}

/// A generation that is on disk is not told of as one that found no room: whoever tries it again would derive from the one
/// before, and write another of the same number. Here a mark that came meanwhile finds none, as on a filesystem that
/// needs some to write in place.
#[test]
fn a_generation_that_is_synced_counts() {
    let memory = Arc::new(Memory::default());
    *memory.bytes.lock() = vec![0; num::index(FILE_LEN)];
    let manifest = sample();
    let slots =
        Slots { slot: 0, fresh: false, syncing: false, pending: None, counter: 0, lagging: false };
    let file = Arc::new(ManifestFile {
        file: Arc::clone(&memory) as Arc<dyn File>,
        path: PathBuf::from("segment.manifest"),
        synced: AtomicU64::new(manifest.generation - 1),
        marks: Mutex::new(slots),
        latch: OnceLock::new(),
    });
    let mark = Mark {
        log_id: manifest.log_id,
        epoch: manifest.epoch(),
        generation: manifest.generation - 1,
        place: Place { ordinal: 4, offset: 128, next_seq: 91 },
        counter: 0,
    };
    let meanwhile = Arc::clone(&file);
    *memory.at_sync.lock() = Some(Box::new(move || assert!(meanwhile.mark(mark).unwrap())));
    file.write(&manifest).unwrap();
    assert_eq!(file.synced_generation(), manifest.generation);
    assert!(file.mark_lags(), "the mark is still wanted");
    let found = read(&*memory, &file.path).unwrap();
    assert_eq!((found.manifest, found.marks), (manifest, [None, None]));
    assert!(file.mark(mark).unwrap_err().is_out_of_space());
}
