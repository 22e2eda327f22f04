use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use walden::storage::{Clock, Storage};

use super::p;
use crate::{CrashPlan, Rng, SimClock, SimDisk, enumerate_crashes};

/// A little history of everything, decided by a seed.
fn history(seed: u64) -> SimDisk {
    let mut rng = Rng::new(seed);
    let disk = SimDisk::new();
    let mut files = Vec::new();
    for i in 0..4 {
        files.push(disk.create(p(&format!("/{i}"))).unwrap());
    }
    for _ in 0..30 {
        let i = rng.index(files.len());
        let mut bytes = vec![0; rng.index(1500)];
        rng.fill(&mut bytes);
        files[i].write_at(&bytes, rng.below(5000)).unwrap();
        match rng.below(8) {
            0 => files[i].sync_data().unwrap(),
            1 => files[i].set_len(rng.below(6000)).unwrap(),
            2 => files[i].allocate(rng.below(100), 1 + rng.below(6000)).unwrap(),
            3 => disk.sync_dir(p("/")).unwrap(),
            _ => {}
        }
    }
    disk
}

fn bytes(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let files = disk.files().into_iter();
    files.map(|path| (path.display().to_string(), disk.read_file(path).unwrap())).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in 0..20 {
        let (one, two) = (history(seed), history(seed));
        assert_eq!(bytes(&one), bytes(&two));
        assert_eq!(one.op_log(), two.op_log());
        let mut plan = CrashPlan::seeded(seed);
        let image = one.crash(&mut plan);
        assert_eq!(bytes(&image), bytes(&two.crash(&mut CrashPlan::seeded(seed))));
        assert_eq!(bytes(&image), bytes(&two.crash(&mut CrashPlan::replay(plan.choices()))));
        assert!(!image.has_unsynced());
    }
}

#[test]
fn every_sampled_image_is_among_the_enumerated_and_all_are_found() {
    let disk = SimDisk::new();
    disk.write_file("/a", &[7; 600]).unwrap();
    let file = disk.open(p("/a"), walden::storage::Access::ReadWrite).unwrap();
    file.write_at(&[8; 100], 500).unwrap();
    file.set_len(550).unwrap();
    disk.rename(p("/a"), p("/b")).unwrap();
    disk.create(p("/c")).unwrap();
    let (mut all, mut images) = (BTreeSet::new(), 0);
    assert!(enumerate_crashes(&disk, 10_000, |image| {
        all.insert(bytes(&image));
        images += 1;
    }));
    assert_eq!(all.len(), images);
    let seeds = 0..4_000;
    let sampled: BTreeSet<_> =
        seeds.map(|seed| bytes(&disk.crash(&mut CrashPlan::seeded(seed)))).collect();
    assert_eq!(sampled, all);
}

#[test]
fn a_choice_out_of_range_is_the_last() {
    let disk = history(3);
    let last = bytes(&disk.crash(&mut |_| usize::MAX));
    assert_eq!(last, bytes(&disk.crash(&mut |n: usize| n - 1)));
}

#[test]
fn many_pending_names_are_decided_one_by_one() {
    let disk = SimDisk::new();
    for i in 0..40 {
        disk.create(p(&format!("/{i}"))).unwrap();
    }
    assert!(disk.crash_losing_all().files().is_empty());
    assert_eq!(disk.crash(&mut |n: usize| n - 1).files().len(), 40);
    let some = disk.crash(&mut CrashPlan::seeded(4)).files().len();
    assert!(some <= 40);
    assert!(!enumerate_crashes(&disk, 100, |_| ()));
}

#[test]
fn numbers_of_a_seed_never_change() {
    let mut rng = Rng::new(0);
    assert_eq!(rng.next_u64(), 0xe220_a839_7b1d_cdaf);
    assert_eq!(rng.next_u64(), 0x6e78_9e6a_a1b9_65f4);
    assert_eq!(rng.seed(), 0);
    assert!((0..1000).all(|_| rng.below(7) < 7));
    assert_eq!(rng.below(0), 0);
    assert!(!rng.chance(0.0));
    assert!(rng.chance(1.0));
    let heads = (0..1000).filter(|_| rng.chance(0.5)).count();
    assert!((400..600).contains(&heads));
}

#[test]
fn the_clock_goes_when_told() {
    let clock = SimClock::new(9);
    let start = clock.now();
    clock.advance(Duration::from_secs(2));
    assert_eq!(clock.now(), start + Duration::from_secs(2));
    clock.set_now(UNIX_EPOCH);
    assert_eq!((clock.now(), clock.elapsed()), (UNIX_EPOCH, Duration::from_secs(2)));
    let ids = |clock: &SimClock| [clock.random_id().unwrap(), clock.random_id().unwrap()];
    let same = ids(&SimClock::new(9));
    assert_eq!(ids(&clock), same);
    assert_ne!(same[0], same[1]);

    let disk = SimDisk::with_clock(clock.clone());
    let file = disk.create(p("/a")).unwrap();
    clock.advance(Duration::from_secs(5));
    assert_eq!(file.modified().unwrap(), UNIX_EPOCH);
    file.write_at(b"x", 0).unwrap();
    assert_eq!(file.modified().unwrap(), UNIX_EPOCH + Duration::from_secs(5));
}
