use std::io::ErrorKind;

use walden::storage::{Access, FileKind, Storage};

use super::{kind, p, with_file};
use crate::SimDisk;

#[test]
fn files_read_as_written() {
    let (disk, file) = with_file("/log/a");
    assert_eq!(file.write_at(&[1; 5000], 3000).unwrap(), 5000);
    file.write_at(&[2; 10], 4090).unwrap();
    let mut buf = vec![9; 9000];
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), 8000);
    assert!(buf[..3000].iter().all(|byte| *byte == 0));
    assert!(buf[3000..4090].iter().all(|byte| *byte == 1));
    assert!(buf[4090..4100].iter().all(|byte| *byte == 2));
    assert!(buf[4100..8000].iter().all(|byte| *byte == 1));
    assert_eq!(buf[8000], 9);
    assert_eq!(file.read_at(&mut buf, 8000).unwrap(), 0);
    assert_eq!(file.read_at(&mut buf, u64::MAX).unwrap(), 0);
    assert_eq!(disk.read_file("log/../log/./a").unwrap().len(), 8000);
    file.set_len(4095).unwrap();
    file.set_len(9000).unwrap();
    assert_eq!(disk.read_file("/log/a").unwrap()[4095..], vec![0; 4905]);
}

#[test]
fn names_behave_as_on_a_filesystem() {
    let disk = SimDisk::new();
    assert_eq!(kind(disk.create(p("/d/a"))), ErrorKind::NotFound);
    disk.create_dir(p("/d")).unwrap();
    assert_eq!(kind(disk.create_dir(p("/d"))), ErrorKind::AlreadyExists);
    assert_eq!(kind(disk.create_dir(p("/"))), ErrorKind::AlreadyExists);
    let file = disk.create(p("/d/a")).unwrap();
    assert_eq!(kind(disk.create(p("/d/a"))), ErrorKind::AlreadyExists);
    assert_eq!(kind(disk.open(p("/d"), Access::Read)), ErrorKind::InvalidInput);
    assert_eq!(kind(disk.open(p("/d/a/b"), Access::Read)), ErrorKind::NotADirectory);
    assert_eq!(kind(disk.list(p("/d/a"))), ErrorKind::NotADirectory);
    assert_eq!(kind(disk.remove(p("/b"))), ErrorKind::NotFound);
    let listed = disk.list(p("/")).unwrap();
    assert_eq!((listed[0].name.to_str(), listed[0].kind), (Some("d"), FileKind::Dir));

    file.write_at(b"x", 0).unwrap();
    disk.remove(p("/d/a")).unwrap();
    let mut buf = [0];
    assert_eq!((file.read_at(&mut buf, 0).unwrap(), buf), (1, *b"x"));
    assert!(disk.list(p("/d")).unwrap().is_empty());
    let read_only = disk.write_file("/d/r", b"r").and_then(|()| disk.open(p("/d/r"), Access::Read));
    assert_eq!(kind(read_only.unwrap().write_at(b"x", 0)), ErrorKind::PermissionDenied);
}

#[test]
fn a_lock_ends_with_its_file() {
    let disk = SimDisk::new();
    let lock = disk.lock(p("/l")).unwrap();
    assert_eq!(kind(disk.lock(p("/l"))), ErrorKind::WouldBlock);
    let other = disk.lock(p("/m")).unwrap();
    assert!(disk.kill().lock(p("/l")).is_ok());
    assert!(disk.crash_losing_all().lock(p("/l")).is_ok());
    assert!(disk.fork().lock(p("/l")).is_ok());
    drop(other);
    assert_eq!(kind(disk.lock(p("/l"))), ErrorKind::WouldBlock);
    drop(lock);
    assert!(disk.lock(p("/l")).is_ok());
    assert_eq!(disk.mutations(), 2);
}

#[test]
fn a_full_disk_takes_what_fits_and_what_is_reserved() {
    let (disk, file) = with_file("/a");
    disk.set_capacity(Some(3 * 4096));
    file.allocate(0, 4096).unwrap();
    assert_eq!(disk.free_space(p("/")).unwrap(), Some(2 * 4096));
    assert_eq!(kind(file.allocate(0, 4 * 4096)), ErrorKind::StorageFull);
    let other = disk.create(p("/b")).unwrap();
    assert_eq!(other.write_at(&[1; 9000], 100).unwrap(), 2 * 4096 - 100);
    assert_eq!(kind(other.write_at(&[1; 10], 2 * 4096)), ErrorKind::StorageFull);
    assert_eq!(file.write_at(&[1; 5000], 0).unwrap(), 4096);
    assert_eq!(other.write_at(&[2; 100], 0).unwrap(), 100);
    assert_eq!(disk.used(), 3 * 4096);

    disk.remove(p("/b")).unwrap();
    assert_eq!(disk.free_space(p("/")).unwrap(), Some(0));
    drop(other);
    assert_eq!(disk.free_space(p("/")).unwrap(), Some(2 * 4096));
    file.set_len(0).unwrap();
    assert_eq!(disk.used(), 0);

    disk.set_allocate_supported(false);
    assert_eq!(kind(file.allocate(0, 1)), ErrorKind::Unsupported);
}

#[test]
fn absurd_sizes_are_refused() {
    let (_disk, file) = with_file("/a");
    assert_eq!(kind(file.allocate(u64::MAX, 1)), ErrorKind::FileTooLarge);
    assert_eq!(kind(file.set_len(u64::MAX)), ErrorKind::FileTooLarge);
    assert_eq!(kind(file.write_at(b"x", u64::MAX)), ErrorKind::FileTooLarge);
}

#[test]
fn editing_is_durable_at_once() {
    let disk = SimDisk::new();
    disk.create_dir(p("/x")).unwrap();
    disk.write_file("/d/e/a", b"abc").unwrap();
    let file = disk.open(p("/d/e/a"), Access::ReadWrite).unwrap();
    disk.write_file("/d/e/a", b"ab").unwrap();
    assert_eq!(file.len().unwrap(), 2);
    disk.flip_bit("/d/e/a", 8).unwrap();
    let image = disk.crash_losing_all();
    assert_eq!(image.read_file("/d/e/a").unwrap(), b"ac");
    assert_eq!(kind(disk.flip_bit("/d/e/a", 16)), ErrorKind::UnexpectedEof);
    disk.remove_file("/d/e/a").unwrap();
    assert!(disk.crash_losing_all().files().is_empty());
    assert_eq!(kind(disk.read_file("/d/e/a")), ErrorKind::NotFound);
    assert_eq!(image.files(), [p("/d/e/a")]);
}

#[test]
fn a_fork_goes_its_own_way() {
    let (disk, file) = with_file("/a");
    file.write_at(b"x", 0).unwrap();
    let fork = disk.fork();
    file.write_at(b"y", 0).unwrap();
    assert_eq!(fork.read_file("/a").unwrap(), b"x");
    assert_eq!((fork.mutations(), disk.mutations()), (1, 2));
    assert!(fork.has_unsynced());
}
