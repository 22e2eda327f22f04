use walden::storage::Storage;

use super::{contents, names, p, with_file};
use crate::{Action, CrashPlan, EIO, Fault, OpKind, SectorTear, SimDisk, enumerate_crashes};

#[test]
fn unsynced_bytes_are_lost_in_one_image_and_kept_in_another() {
    let (disk, file) = with_file("/a");
    file.write_at(b"xy", 0).unwrap();
    let all = contents(&disk, "/a");
    assert_eq!(all, [Some(vec![]), Some(b"\0\0".to_vec()), Some(b"xy".to_vec())]);

    file.sync_data().unwrap();
    assert_eq!(contents(&disk, "/a"), [Some(b"xy".to_vec())]);
    assert!(!disk.has_unsynced());
}

#[test]
fn each_sector_has_any_of_its_versions_independently() {
    let (disk, file) = with_file("/a");
    file.write_at(&[1; 1024], 0).unwrap();
    file.sync_all().unwrap();
    file.write_at(&[2; 1024], 0).unwrap();
    file.write_at(&[3; 512], 0).unwrap();
    let mut found = Vec::new();
    let all = enumerate_crashes(&disk, 100, |image| {
        let bytes = image.read_file("/a").unwrap();
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        found.push((bytes[0], bytes[512]));
    });
    assert!(all);
    assert_eq!(found, [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]);
    assert!(!enumerate_crashes(&disk, 5, |_| ()));
    assert!(enumerate_crashes(&disk, 6, |_| ()));
}

#[test]
fn the_same_version_twice_counts_once() {
    let (disk, file) = with_file("/a");
    file.write_at(b"a", 0).unwrap();
    file.sync_all().unwrap();
    for byte in [b"b", b"a", b"b", b"b"] {
        file.write_at(byte, 0).unwrap();
    }
    let mut images = 0;
    assert!(enumerate_crashes(&disk, 100, |_| images += 1));
    assert_eq!(images, 2);
}

#[test]
fn a_file_cut_short_may_have_its_end_back_until_it_is_synced() {
    let (disk, file) = with_file("/a");
    file.write_at(b"abc", 0).unwrap();
    file.sync_all().unwrap();
    file.set_len(1).unwrap();
    let back = |all: &[Option<Vec<u8>>]| all.contains(&Some(b"abc".to_vec()));
    assert!(back(&contents(&disk, "/a")));
    file.sync_all().unwrap();
    file.set_len(3).unwrap();
    assert_eq!(disk.read_file("/a").unwrap(), b"a\0\0");
    assert!(!back(&contents(&disk, "/a")));
}

#[test]
fn allocated_space_is_zeros_and_its_length_waits_for_a_sync() {
    let (disk, file) = with_file("/a");
    file.allocate(0, 10_000).unwrap();
    assert_eq!(contents(&disk, "/a"), [Some(vec![]), Some(vec![0; 10_000])]);
    file.sync_data().unwrap();
    file.write_at(b"z", 9_000).unwrap();
    assert_eq!(file.len().unwrap(), 10_000);
    assert_eq!(contents(&disk, "/a").len(), 2);
}

#[test]
fn a_name_is_lost_until_its_folder_is_synced() {
    let disk = SimDisk::new();
    let file = disk.create(p("/a")).unwrap();
    file.write_at(b"x", 0).unwrap();
    file.sync_all().unwrap();
    assert_eq!(contents(&disk, "/a"), [None, Some(b"x".to_vec())]);
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(contents(&disk, "/a"), [Some(b"x".to_vec())]);
    disk.remove(p("/a")).unwrap();
    assert_eq!(contents(&disk, "/a"), [None, Some(b"x".to_vec())]);
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(contents(&disk, "/a"), [None]);
}

#[test]
fn a_rename_leaves_the_old_name_or_the_new() {
    let disk = SimDisk::new();
    disk.write_file("/old", b"x").unwrap();
    disk.write_file("/new", b"y").unwrap();
    disk.rename(p("/old"), p("/new")).unwrap();
    let of_new = contents(&disk, "/new");
    assert_eq!(of_new, [Some(b"x".to_vec()), Some(b"y".to_vec())]);
    assert_eq!(names(&disk), [vec!["/new"], vec!["/new", "/old"]]);
    disk.rename(p("/new"), p("/newer")).unwrap();
    assert_eq!(
        names(&disk),
        [vec!["/new"], vec!["/new", "/newer"], vec!["/new", "/old"], vec!["/newer"]]
    );
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(names(&disk), [["/newer"]]);
}

#[test]
fn any_subset_of_the_changes_of_names_is_found() {
    let disk = SimDisk::new();
    for path in ["/a", "/b", "/c"] {
        disk.create(p(path)).unwrap();
    }
    let all = names(&disk);
    assert_eq!(all.len(), 8);
    assert!(all.contains(&vec!["/c".to_owned()]));
    assert_eq!(all[0], Vec::<String>::new());
}

#[test]
fn a_file_in_a_lost_folder_is_lost() {
    let disk = SimDisk::new();
    disk.create_dir(p("/d")).unwrap();
    disk.create(p("/d/a")).unwrap();
    disk.sync_dir(p("/d")).unwrap();
    assert_eq!(names(&disk), [vec![], vec!["/d/a"]]);
    disk.sync_dir(p("/")).unwrap();
    assert_eq!(names(&disk), [["/d/a"]]);
}

#[test]
fn a_rename_between_folders_waits_for_both() {
    let disk = SimDisk::new();
    disk.write_file("/d/a", b"").unwrap();
    disk.write_file("/e/x", b"").unwrap();
    disk.rename(p("/d/a"), p("/e/a")).unwrap();
    disk.sync_dir(p("/d")).unwrap();
    assert_eq!(names(&disk), [["/d/a", "/e/x"], ["/e/a", "/e/x"]]);
    let other = disk.fork();
    disk.sync_dir(p("/e")).unwrap();
    assert_eq!(names(&disk), [["/e/a", "/e/x"]]);

    let (disk, other) = (other, SimDisk::new());
    other.write_file("/d/a", b"").unwrap();
    other.create_dir(p("/e")).unwrap();
    other.rename(p("/d/a"), p("/e/a")).unwrap();
    other.remove(p("/e/a")).unwrap();
    other.sync_dir(p("/e")).unwrap();
    assert!(names(&other).contains(&vec!["/d/a".to_owned()]));
    other.sync_dir(p("/d")).unwrap();
    assert_eq!(names(&other), [Vec::<String>::new(), vec![]]);
    disk.remove(p("/e/a")).unwrap();
    assert_eq!(names(&disk), [vec!["/d/a", "/e/x"], vec!["/e/a", "/e/x"], vec!["/e/x"]]);
}

#[test]
fn a_failed_sync_is_not_mended_by_a_later_one_but_by_writing_again() {
    let (disk, file) = with_file("/a");
    file.write_at(b"a", 0).unwrap();
    file.sync_data().unwrap();
    file.write_at(b"b", 0).unwrap();
    disk.add_fault(Fault::new(Action::Error(EIO)).on(OpKind::SYNCS).nth(1));
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(EIO));
    let either = [Some(b"a".to_vec()), Some(b"b".to_vec())];

    file.sync_data().unwrap();
    assert_eq!(disk.read_file("/a").unwrap(), b"b");
    assert_eq!(contents(&disk, "/a"), either);
    let killed = disk.kill();
    assert_eq!(contents(&killed, "/a"), either);

    file.write_at(b"b", 0).unwrap();
    assert_eq!(contents(&disk, "/a"), either);
    file.sync_data().unwrap();
    assert_eq!(contents(&disk, "/a"), [Some(b"b".to_vec())]);

    killed.evict(&mut CrashPlan::oldest());
    assert_eq!(killed.read_file("/a").unwrap(), b"a");
    assert_eq!(contents(&killed, "/a"), [Some(b"a".to_vec())]);
}

#[test]
fn a_torn_sector_keeps_the_bytes_that_no_write_changed() {
    let (disk, file) = with_file("/a");
    file.write_at(b"kept", 0).unwrap();
    file.sync_data().unwrap();
    file.write_at(b"new!", 4).unwrap();
    file.allocate(0, 8).unwrap();
    disk.set_sector_tear(SectorTear::Changed);
    let all = contents(&disk, "/a");
    assert!(all.iter().flatten().all(|bytes| bytes.starts_with(b"kept")));
    assert!(all.contains(&Some(b"keptne\0\0".to_vec())));
    assert!(all.len() > 4);

    disk.set_sector_tear(SectorTear::Any);
    assert!(contents(&disk, "/a").contains(&Some(vec![0; 8])));
}

#[test]
fn a_kill_keeps_the_cache_and_what_is_unsynced() {
    let (disk, file) = with_file("/a");
    file.write_at(b"x", 0).unwrap();
    disk.create(p("/b")).unwrap();
    let killed = disk.kill();
    assert_eq!(killed.read_file("/a").unwrap(), b"x");
    assert_eq!(killed.files().len(), 2);
    assert!(killed.has_unsynced());
    assert_eq!(contents(&killed, "/a"), contents(&disk, "/a"));
    killed.settle();
    assert_eq!(contents(&killed, "/a"), [Some(b"x".to_vec())]);
    assert!(disk.has_unsynced());
    assert_eq!(disk.crash_losing_all().files(), [p("/a")]);
}
