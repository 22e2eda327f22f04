//! A full disk under a log whose filesystem cannot reserve space.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail them")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use walden::{BatchFormat, Config, Maintenance, Wal};
use walden_sim::{Action, ENOSPC, Fault, OpKind, SimClock, SimDisk};

fn full_log(config: Config) -> (SimDisk, Wal) {
    let clock = SimClock::new(1);
    let disk = SimDisk::with_clock(clock.clone());
    disk.set_allocate_supported(false);
    let config = config.segment_size(1000).maintenance(Maintenance::Manual);
    let wal =
        Wal::open_with(Path::new("/log"), config, Arc::new(disk.clone()), Arc::new(clock)).unwrap();
    for _ in 0..20 {
        wal.append([7; 200]).unwrap();
    }
    (disk, wal)
}

/// Bytes whose seq ids were given stay in memory; cutting in front makes room for them.
#[test]
fn the_front_is_cut_though_bytes_wait_for_room() {
    let (disk, wal) = full_log(Config::os_cache());
    disk.set_capacity(Some(disk.used()));
    let mut tries = 0;
    while wal.append([8; 200]).is_ok() {
        tries += 1;
        assert!(tries < 100, "the disk is full");
    }
    assert!(wal.append("refused").unwrap_err().is_out_of_space());
    let next = wal.next_seq();
    assert!(wal.sync().unwrap_err().is_out_of_space());
    assert!(wal.truncate_front(next).unwrap_err().is_out_of_space(), "not durable");
    wal.truncate_front(15).unwrap();
    assert_eq!(wal.first_seq(), 15);
    wal.append("there is room again").unwrap();
    wal.sync().unwrap();
    assert_eq!(wal.durable_seq(), wal.next_seq() - 1);
    let found = wal.range(..).unwrap().filter(Result::is_ok).zip(15..).last();
    assert_eq!(found.map(|(_, seq)| seq + 1), Some(wal.next_seq()));
}

/// The first entries of a batch of separate records stay where the disk is full before the last: nobody waits for them, and
/// they come to the disk as others do, though no append follows.
#[test]
fn the_part_of_a_batch_that_stays_is_written_and_synced() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let config = Config::os_cache().batch_format(BatchFormat::Separate).segment_size(1000);
    let config = config.maintenance(Maintenance::Manual);
    let (storage, time) = (Arc::new(disk.clone()), Arc::new(clock.clone()));
    let wal = Wal::open_with(Path::new("/log"), config, storage, time).unwrap();
    wal.append("before").unwrap();
    wal.sync().unwrap();
    disk.set_capacity(Some(disk.used()));
    let error = wal.append_batch(vec![[9; 200]; 30]).unwrap_err();
    assert!(error.is_out_of_space(), "{error}");
    let next = wal.next_seq();
    assert!(next > 2, "none stayed: {error}");
    assert_eq!(wal.stats().written, next);
    assert!(wal.durable_seq() < next - 1);
    // The log's own upkeep, a `sync_interval` later.
    clock.advance(Duration::from_secs(60));
    drop(wal.tick());
    assert_eq!(wal.durable_seq(), next - 1);
}

/// Removing the files that recovery cut finds no room: they must be gone before the cut counts as done.
#[test]
fn what_recovery_cut_stays_cut() {
    let clock = SimClock::new(1);
    let disk = SimDisk::with_clock(clock.clone());
    let config = Config::os_cache().segment_size(300).maintenance(Maintenance::Manual);
    let open = |disk: &SimDisk| {
        let (storage, clock) = (Arc::new(disk.clone()), Arc::new(clock.clone()));
        Wal::open_with(Path::new("/log"), config.clone(), storage, clock).unwrap()
    };
    let wal = open(&disk);
    for seq in 1..=6_u8 {
        wal.append([seq; 100]).unwrap();
    }
    let disk = disk.kill();
    drop(wal);
    // Seq ids 3 and 4 lie in the second segment, 5 and 6 in the third.
    disk.flip_bit("/log/segment-0001.wal", 8 * (128 + 50)).unwrap();
    let full = Fault::new(Action::Error(ENOSPC)).on([OpKind::Remove]).suffix(".wal").nth(1);
    disk.add_fault(full);
    let wal = open(&disk);
    assert_eq!(wal.next_seq(), 4);
    for seq in 4..=9 {
        assert_eq!(wal.append([0; 100]).unwrap(), seq);
    }
    wal.sync().unwrap();
    let disk = disk.kill();
    drop(wal);
    let wal = open(&disk);
    let entries: Vec<_> = wal.range(..).unwrap().map(|entry| entry.unwrap().payload[0]).collect();
    assert_eq!(entries, [1, 2, 3, 0, 0, 0, 0, 0, 0]);
}
