//! Invariant 11, for a bucket: whatever lies in it, it is an error that names the object, and never a panic.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use walden::offline::Donor as _;
use walden_archive::{Archive, Archiver, Depth, ErrorKind, StoreOptions, Until};

use crate::faulty::Op;
use crate::support::{PREFIX, Place, archive, config, fill, options};

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

/// Small objects are replaced all the time, faster than all that is there is read.
#[test]
fn verifying_ends_beside_an_archiver_that_never_rests() {
    let (place, wal) = Place::with_entries(200);
    let mut archiver = place.ship(&wal);
    let mut told = 0;
    let mut progress = |_| {
        told += 1;
        assert!(told < 400, "it looks again and again");
        for _ in 0..8 {
            fill(&wal, wal.next_seq() + 1);
            archiver.ship(&mut |_| {}).unwrap();
        }
    };
    let verified = place.archive.verify(Depth::Read, &mut progress).unwrap();
    assert!(!verified.is_damaged(), "{:?}", verified.damages);
    assert!(verified.first_seq == 1 && verified.next_seq >= 200);
    assert!(verified.objects > 10 && told < verified.objects + 20, "{told}");
}

/// An object is missing, and each time that the manifest is looked for again there is a newer one.
#[test]
fn a_missing_object_is_told_beside_an_archiver_that_never_rests() {
    let (place, wal) = Place::with_entries(100);
    place.ship(&wal);
    let chunks = place.bucket.names("logs/a/chunks");
    place.bucket.remove(&chunks[2]);
    let newer = || {
        let (bucket, mut count) = (Arc::clone(&place.bucket), 0);
        place.bucket.fail(move |_, op, name| {
            if op == Op::List && name.ends_with("manifest") {
                count += 1;
                assert!(count < 100, "it looks again and again");
                let newest = bucket.names("logs/a/manifest").pop().unwrap();
                let (bytes, name) = rewritten(&bucket.bytes(&newest), |manifest| {
                    let next = manifest["generation"].as_u64().unwrap() + 1;
                    manifest["generation"] = next.into();
                    format!("logs/a/manifest/{next:020}.json")
                });
                bucket.set(&name, bytes);
            }
            None
        });
    };
    let missing = |error: &walden_archive::Error| {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(chunks[2].ends_with(error.object_name().unwrap()), "{error}");
    };
    newer();
    let dir = tempfile::tempdir().unwrap();
    let restored = place.archive.restore(dir.path(), config(), Until::End, &mut |_| {});
    missing(&restored.unwrap_err());
    newer();
    let mut reader = place.archive.reader(None, 0).unwrap();
    let ended = std::iter::from_fn(|| Some(reader.read_next())).find_map(Result::err);
    missing(&ended.unwrap());
    newer();
    let donor = place.archive.donor().unwrap();
    let seq = reader.position();
    missing(donor.frames(seq, 1 << 20).unwrap_err().downcast_ref().unwrap());
}

/// A manifest or page with something else in it, as its writer would have written it.
fn rewritten<T>(bytes: &[u8], change: impl FnOnce(&mut serde_json::Value) -> T) -> (Vec<u8>, T) {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    let mut json = serde_json::from_slice(&bytes[at..]).unwrap();
    let told = change(&mut json);
    (signed(&json), told)
}

fn signed(json: &serde_json::Value) -> Vec<u8> {
    let body = serde_json::to_vec(json).unwrap();
    [format!("walden-archive 1 {}\n", hash(&body)).as_bytes(), &body, b"\n"].concat()
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sound by its hash, and made up: numbers that cannot be counted on from.
#[test]
fn numbers_that_nobody_counted_to() {
    for term in [false, true] {
        let (place, wal) = Place::with_entries(40);
        let mut archiver = place.ship(&wal);
        let newest = place.bucket.names("logs/a/manifest").pop().unwrap();
        let (bytes, name) = rewritten(&place.bucket.bytes(&newest), |manifest| {
            manifest[if term { "term" } else { "generation" }] = u64::MAX.into();
            for chunk in manifest["chunks"].as_array_mut().unwrap() {
                chunk["stands_for"] = u64::MAX.into();
                chunk["partial"] = true.into();
            }
            if term { newest.clone() } else { format!("logs/a/manifest/{}.json", u64::MAX) }
        });
        place.bucket.set(&name, bytes);
        let refused = Archiver::new(&place.archive, wal.clone(), options()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
        assert!(name.ends_with(refused.object_name().unwrap()), "{refused}");
        place.sound();
        assert_eq!(place.restored(Until::End).1.next_seq(), 40);
        fill(&wal, 50);
        assert_eq!(archiver.ship(&mut |_| {}).is_err(), !term);
    }
}

/// One object for two stretches of entries: in one list, and in a page and the list behind it.
#[test]
fn an_object_that_is_named_twice() {
    for paged in [false, true] {
        let (place, wal) = Place::with_entries(20);
        place.ship(&wal);
        let newest = place.bucket.names("logs/a/manifest").pop().unwrap();
        let (bytes, page) = rewritten(&place.bucket.bytes(&newest), |manifest| {
            let chunk = manifest["chunks"][0].clone();
            let end = chunk["end"].as_u64().unwrap();
            let mut again = chunk.clone();
            (again["first"], again["end"]) = (end.into(), (2 * end).into());
            manifest["end"] = (2 * end).into();
            if !paged {
                manifest["chunks"] = vec![chunk, again].into();
                return Vec::new();
            }
            let page = signed(&serde_json::json!({ "chunks": [chunk] }));
            let mut part = chunk;
            part["name"] = "pages/one.json".into();
            (part["sha256"], part["bytes"]) = (hash(&page).into(), page.len().into());
            manifest["pages"] = vec![part].into();
            manifest["chunks"] = vec![again].into();
            page
        });
        place.bucket.set("logs/a/pages/one.json", page);
        place.bucket.set(&newest, bytes);
        let (tell, told) = std::sync::mpsc::channel();
        // On a thread of its own, as it may never end.
        let archive = archive(&place.bucket, 1);
        std::thread::spawn(move || {
            let read = archive.reader(None, 1 << 20).and_then(|mut reader| {
                let mut all = std::iter::from_fn(|| reader.read_next().transpose());
                all.try_fold(0, |count, entry| entry.map(|_| count + 1))
            });
            tell.send(read).unwrap();
        });
        let read = told.recv_timeout(std::time::Duration::from_secs(20)).expect("it never ends");
        assert_eq!(read.unwrap_err().kind(), ErrorKind::Corrupt);
    }
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
