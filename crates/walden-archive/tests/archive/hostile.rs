//! Invariant 11, for a bucket: whatever lies in it, it is an error that names the object, and never a panic.

use walden_archive::{Archive, Archiver, Depth, ErrorKind, StoreOptions, Until};

use crate::support::{PREFIX, Place, config, fill, options};

/// Each byte of each object turned over, or the object cut there, or gone.
#[test]
fn every_change_is_found() {
    let (place, wal) = Place::with_entries(40);
    place.ship(&wal);
    let newest = place.bucket.names("logs/a/manifest").pop().unwrap();
    let mut objects = place.bucket.names("logs/a/chunks");
    objects.push(newest);
    for name in objects {
        let sound = place.bucket.bytes(&name);
        let changes = (0..sound.len()).step_by(23).flat_map(|at| {
            let mut turned = sound.clone();
            turned[at] ^= 0x10;
            [turned, sound[..at].to_vec()]
        });
        let longer = [sound.as_slice(), b"\n"].concat();
        for changed in changes.chain([longer]) {
            place.bucket.set(&name, changed);
            found(&place, &name);
        }
        place.bucket.set(&name, sound);
    }
    place.sound();
}

fn found(place: &Place, name: &str) {
    let verified = place.archive.verify(Depth::Read, &mut |_| {});
    let errors = match verified {
        Ok(verified) => verified.damages,
        Err(error) => vec![error],
    };
    let named = |error: &walden_archive::Error| {
        let kind = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported);
        kind && error.object_name().is_some_and(|object| name.ends_with(object))
    };
    assert!(!errors.is_empty() && errors.iter().all(named), "{name}: {errors:?}");
    let dir = tempfile::tempdir().unwrap();
    let restored = place.archive.restore(dir.path(), config(), Until::End, &mut |_| {});
    assert!(named(&restored.unwrap_err()));
}

#[test]
fn what_is_missing_is_found() {
    let (place, wal) = Place::with_entries(60);
    place.ship(&wal);
    for name in place.bucket.names("logs/a/chunks") {
        let sound = place.bucket.bytes(&name);
        place.bucket.remove(&name);
        for depth in [Depth::Listed, Depth::Read] {
            let verified = place.archive.verify(depth, &mut |_| {}).unwrap();
            assert_eq!(verified.damages.len(), 1, "{name}");
        }
        place.bucket.set(&name, sound);
    }
    for name in place.bucket.names("logs/a/manifest") {
        place.bucket.remove(&name);
    }
    // There was an archive: that it is lost is not that there is none.
    assert_eq!(place.archive.info().unwrap_err().kind(), ErrorKind::Corrupt);
    // It does not begin anew over what is there.
    let refused = Archiver::new(&place.archive, wal, options()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
}

/// Each look finds a newer generation, and the same damage.
#[test]
fn damage_is_found_beside_an_archiver_that_never_rests() {
    let (place, wal) = Place::with_entries(100);
    let mut archiver = place.ship(&wal);
    let name = place.bucket.names("logs/a/chunks").remove(0);
    let mut bytes = place.bucket.bytes(&name);
    bytes[30] ^= 1;
    place.bucket.set(&name, bytes);
    let mut told = 0;
    let mut progress = |_| {
        told += 1;
        assert!(told < 500, "it looks again and again");
        fill(&wal, wal.next_seq() + 1);
        archiver.ship(&mut |_| {}).unwrap();
    };
    let verified = place.archive.verify(Depth::Read, &mut progress).unwrap();
    assert_eq!(verified.damages.len(), 1);
    assert!(name.ends_with(verified.damages[0].object_name().unwrap()));
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let (place, wal) = Place::with_entries(60);
    for name in ["manifest/zzz", "manifest/99.json", "chunks/readme.txt", "chunks/a-b-c-d", "x/y"] {
        place.bucket.set(&format!("{PREFIX}/{name}"), b"not ours".to_vec());
    }
    place.bucket.set("logs/b/manifest/00000000000000000099.json", b"another's".to_vec());
    // An archive is not begun where there may be one.
    assert!(Archiver::new(&place.archive, wal.clone(), options()).is_err());
    place.bucket.remove("logs/a/chunks/readme.txt");
    place.bucket.remove("logs/a/chunks/a-b-c-d");
    place.ship(&wal);
    place.bucket.set("logs/a/chunks/readme.txt", b"not ours".to_vec());
    place.ship(&wal).sweep().unwrap();
    assert_eq!(place.sound().unnamed, 1);
    assert_eq!(place.bucket.bytes("logs/a/chunks/readme.txt"), b"not ours");
}

#[test]
fn places_and_settings_that_make_no_sense() {
    let open = |url: &str| Archive::open(url, [], StoreOptions::default()).map(drop);
    for url in ["", "log", "ftp://a/b", "file://host/a", "s3:", "https://example.com/a", "s3://"] {
        let error = open(url).unwrap_err();
        let kind = error.kind();
        assert!(matches!(kind, ErrorKind::InvalidInput | ErrorKind::Unsupported), "{url}: {error}");
    }
    let secret = open("s3://key:secret@bucket/a").unwrap_err().to_string();
    assert!(!secret.contains("secret") && !secret.contains("key"), "{secret}");
    for options in
        [StoreOptions::default().tries(0), StoreOptions::default().bytes_per_second(Some(0))]
    {
        let error = Archive::open("file:///nowhere", [], options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    let (place, wal) = Place::with_entries(2);
    for options in [options().chunk_bytes(0), options().parallel(0), options().parallel(65)] {
        let error = Archiver::new(&place.archive, wal.clone(), options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[cfg(not(feature = "s3"))]
#[test]
fn a_feature_that_is_not_there_is_named() {
    let error = Archive::open("s3://bucket/log", [], StoreOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("--features s3"), "{error}");
}
