//! Every order of a few steps, under loom.

use super::super::codec::tests::sample;
use super::*;
use crate::storage::loom_file::LoomFile;

/// Who finds a generation on disk may name it in a mark: its copies are written and synced.
#[test]
fn loom_a_generation_that_counts_is_synced() {
    loom::model(|| {
        let file = Arc::new(LoomFile::default());
        let manifest = sample();
        let slots = Slots {
            slot: 0,
            fresh: false,
            syncing: false,
            pending: None,
            counter: 0,
            lagging: false,
        };
        let shared = Arc::new(ManifestFile {
            file: Arc::clone(&file) as Arc<dyn File>,
            path: PathBuf::from("segment.manifest"),
            synced: AtomicU64::new(manifest.generation - 1),
            marks: Mutex::new(slots),
            latch: OnceLock::new(),
        });
        let generation = manifest.generation;
        let writing = loom::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.write(&manifest).unwrap()
        });
        if shared.synced_generation() == generation {
            assert!(file.is_written() && file.is_synced());
        }
        writing.join().unwrap();
        assert_eq!(shared.synced_generation(), generation);
    });
}
