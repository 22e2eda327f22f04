//! Payloads that embed records, and an index that decayed.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail them")]

use std::path::Path;
use std::sync::Arc;

use walden::{Config, Maintenance, Wal};
use walden_sim::{SimClock, SimDisk};

/// A log whose second entry embeds a record of seq id 100, and whose index points there.
fn decayed() -> (SimDisk, SimClock) {
    let (clock, inner) = (SimClock::new(1), SimDisk::new());
    let disk = SimDisk::with_clock(clock.clone());
    let config = Config::os_cache().maintenance(Maintenance::Manual);
    let open = |disk: &SimDisk| {
        let (storage, clock) = (Arc::new(disk.clone()), Arc::new(clock.clone()));
        Wal::open_with(Path::new("/log"), config.clone(), storage, clock).unwrap()
    };
    let other = open(&inner);
    other.reset(1).unwrap();
    for seq in 1..=40_u8 {
        other.append([seq; 8]).unwrap();
    }
    other.close().unwrap();
    let foreign = inner.read_file("/log/segment-0001.wal").unwrap();
    let wal = open(&disk);
    wal.append("first").unwrap();
    wal.append(&foreign).unwrap();
    for _ in 3..=40 {
        wal.append("plain").unwrap();
    }
    wal.close().unwrap();
    // Entry 1 of the index leads to seq id 33: now to the embedded one. A header's checksum is sound.
    let mut index = disk.read_file("/log/segment-0000.idx").unwrap();
    let offset = 33 + 20 + 32 * 36_u64;
    index[96 + 16..96 + 24].copy_from_slice(&offset.to_le_bytes());
    disk.write_file("/log/segment-0000.idx", &index).unwrap();
    (disk, clock)
}

#[test]
fn a_cut_does_not_follow_a_decayed_index() {
    let (disk, clock) = decayed();
    let config = Config::os_cache().maintenance(Maintenance::Manual);
    let open = || {
        let (storage, clock) = (Arc::new(disk.clone()), Arc::new(clock.clone()));
        Wal::open_with(Path::new("/log"), config.clone(), storage, clock).unwrap()
    };
    let wal = open();
    wal.truncate_back(35).unwrap();
    wal.close().unwrap();
    let wal = open();
    assert_eq!(wal.next_seq(), 36);
    assert!(wal.range(..).unwrap().all(|entry| entry.is_ok()));
    assert_eq!(wal.get(35).unwrap().unwrap().payload, "plain");
}

#[test]
fn a_reader_does_not_follow_a_decayed_index() {
    let (disk, clock) = decayed();
    let config = Config::os_cache().maintenance(Maintenance::Manual);
    let (storage, clock) = (Arc::new(disk), Arc::new(clock));
    let wal = Wal::open_with(Path::new("/log"), config, storage, clock).unwrap();
    assert_eq!(wal.get(34).unwrap().unwrap().payload, "plain");
}
