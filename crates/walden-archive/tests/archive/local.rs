//! A folder of this machine as the bucket.

use walden_archive::{Archive, Archiver, Depth, ErrorKind, StoreOptions, Until};

use crate::support::{config, fill, open, options, same};

#[test]
fn all_of_it_in_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let wal = open(&dir.path().join("log"));
    fill(&wal, 200);
    let bucket = dir.path().join("a bucket, ünd more");
    let url = url::Url::from_directory_path(&bucket).unwrap();
    let archive = Archive::open(url.as_str(), [], StoreOptions::default()).unwrap();
    assert_eq!(archive.info().unwrap_err().kind(), ErrorKind::NotFound);
    let mut old = Archiver::new(&archive, wal.clone(), options()).unwrap();
    old.ship(&mut |_| {}).unwrap();
    let mut new = Archiver::new(&archive, wal.clone(), options()).unwrap();
    fill(&wal, 300);
    assert_eq!(old.ship(&mut |_| {}).unwrap_err().kind(), ErrorKind::Fenced);
    new.ship(&mut |_| {}).unwrap();
    new.sweep().unwrap();
    let verified = archive.verify(Depth::Read, &mut |_| {}).unwrap();
    assert!(!verified.is_damaged() && verified.unnamed == 0, "{verified:?}");
    assert!(bucket.join("manifest").is_dir());
    let restored = dir.path().join("restored");
    archive.restore(&restored, config(), Until::End, &mut |_| {}).unwrap();
    same(&wal, &open(&restored));
}
