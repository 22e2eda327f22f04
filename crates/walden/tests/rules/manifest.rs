//! Generations that were only in the cache, torn copies, manifests of another time.

use std::sync::Arc;

use walden::offline::{Target, inspect, repair_from, repair_plan, verify};
use walden::{ErrorKind, SyncStrategy};
use walden_sim::{Action, EIO, Fault, OpKind, SectorTear};

use crate::support::{
    BLOCK, DIR, Lab, ManifestBytes, assert_goes_on, assert_prefix, entries, every_stop, payloads,
};

/// Three entries, a segment each, all sealed but the last.
fn three() -> Lab {
    let lab = Lab::new(SyncStrategy::Always, 100);
    let wal = lab.open();
    Lab::append(&wal, 1..=3);
    wal.tick().unwrap();
    wal.close().unwrap();
    lab.disk.settle();
    lab
}

fn fail_manifest_sync(lab: &Lab) {
    let fault = Fault::new(Action::Error(EIO)).on([OpKind::SyncData]).suffix(".manifest");
    lab.disk.add_fault(fault.nth(1));
}

/// Section 5: "Open first writes the winning generation again into both its copies and syncs, and only then acts
/// on it (it may be in the cache only, and fsync does not rewrite clean pages)". Here the generation declares a cut,
/// its sync failed, and opening unlinks dead files by it: a power cut at any call of that.
#[test]
fn a_generation_that_was_only_in_the_cache_is_written_again_before_it_is_acted_on() {
    let cuts: [fn(&walden::Wal); 3] = [
        |wal| assert!(wal.truncate_back(1).unwrap_err().is_poisoned()),
        |wal| assert!(wal.truncate_front(3).unwrap_err().is_poisoned()),
        |wal| assert!(wal.reset(9).unwrap_err().is_poisoned()),
    ];
    for (at, cut) in cuts.iter().enumerate() {
        let lab = three();
        let wal = lab.open();
        fail_manifest_sync(&lab);
        cut(&wal);
        let killed = lab.kill();
        every_stop(
            &killed,
            40,
            |lab| drop(lab.try_open()),
            |found, _| {
                let wal = found.open();
                let (first, all) = entries(&wal);
                let done = match at {
                    0 => (1, payloads(1..=1)),
                    1 => (3, payloads(3..=3)),
                    _ => (9, Vec::new()),
                };
                assert!((first, &all) == (1, &payloads(1..=3)) || (first, all) == done, "cut {at}");
                assert_goes_on(found, wal);
            },
        );
    }
}

/// The same for metadata: what opening reported stays.
#[test]
fn metadata_that_opening_reported_survives_a_power_cut() {
    let lab = three();
    let wal = lab.open();
    wal.set_meta("vote", "old").unwrap();
    fail_manifest_sync(&lab);
    assert!(wal.set_meta("vote", "new").unwrap_err().is_poisoned());
    assert_eq!(wal.meta("vote").unwrap(), b"old", "what failed is not told as done");
    let killed = lab.kill();
    let reported = killed.open().meta("vote").unwrap();
    assert_eq!(reported, b"new", "the cache had it");
    assert_eq!(killed.power_cut().open().meta("vote").unwrap(), reported);
}

/// Section 5: "An update writes both copies of the other parity and syncs; the highest generation with a valid copy
/// wins": a power cut that makes garbage of every sector being written never loses the manifest.
#[test]
fn torn_blocks_never_lose_the_manifest() {
    for tear in [SectorTear::Changed, SectorTear::Any] {
        let lab = three();
        lab.disk.set_sector_tear(tear);
        let wal = lab.open();
        wal.set_meta("vote", "old").unwrap();
        wal.close().unwrap();
        drop(wal);
        lab.disk.settle();
        let update = |lab: &Lab| {
            let Ok(wal) = lab.try_open() else { return };
            drop(wal.set_meta("vote", "new"));
            std::mem::forget(wal);
        };
        every_stop(&lab, 60, update, |found, _| {
            let wal = found.open();
            let vote = wal.meta("vote").unwrap();
            assert!(vote == b"old" || vote == b"new");
            assert_eq!(entries(&wal).1, payloads(1..=3));
        });
    }
}

/// Section 5, opening "writes the winning generation again into both its copies": one after the other, so that a power cut
/// in the middle of it, which makes garbage of every sector being written, leaves one. The generation before has less:
/// here, what was acknowledged.
#[test]
fn opening_never_has_both_copies_of_the_winner_in_doubt() {
    let lab = three();
    let wal = lab.open();
    wal.set_meta("vote", "old").unwrap();
    wal.set_meta("vote", "new").unwrap();
    wal.truncate_front(3).unwrap();
    wal.close().unwrap();
    drop(wal);
    lab.disk.settle();
    let calls = lab.disk.op_log().len();
    let mut torn = 0;
    for stop in 1.. {
        let lab = lab.with(lab.disk.fork());
        lab.disk.stop_after(stop);
        let opened = lab.try_open();
        if !lab.disk.stopped() {
            break;
        }
        drop(opened);
        let found = lab.power_cut();
        let mut manifest = ManifestBytes::of(&found);
        for at in written_and_not_synced(&lab.disk.op_log()[calls..]) {
            manifest.0[at..at + 512].fill(0xa5);
            torn += 1;
        }
        manifest.put(&found);
        let wal = found.open();
        assert_eq!(wal.meta("vote").unwrap(), b"new", "call {stop}");
        assert_eq!(entries(&wal), (3, payloads(3..=3)), "call {stop}");
    }
    assert!(torn >= 4, "{torn}");
}

/// Where in the manifest was written since its last sync.
fn written_and_not_synced(calls: &[String]) -> Vec<usize> {
    let mut places = Vec::new();
    let done = calls.iter().filter(|call| call.contains(".manifest") && !call.contains("stops"));
    for call in done {
        if call.contains("sync_data") {
            places.clear();
        } else if let Some((offset, _)) = call.rsplit(' ').next().and_then(|at| at.split_once('+'))
        {
            places.push(offset.parse().unwrap());
        }
    }
    places
}

/// Section 5: "only then acts on it": the tools too. A generation that was in the cache only is on disk before anything is
/// put back into the log that it tells of.
#[test]
fn what_a_repair_goes_by_is_on_disk() {
    let lab = three();
    let donor = lab.with(lab.disk.fork());
    let wal = lab.open();
    wal.set_meta("vote", "old").unwrap();
    fail_manifest_sync(&lab);
    wal.set_meta("vote", "new").unwrap_err();
    let lab = lab.kill();
    let mut damaged = lab.read("segment-0001.wal");
    damaged[40] ^= 1;
    lab.write("segment-0001.wal", &damaged);
    let generation = |lab: &Lab| {
        let manifest = ManifestBytes::of(lab);
        manifest.generation(manifest.winner())
    };
    let seen = generation(&lab);
    assert!(generation(&lab.power_cut()) < seen, "it is in the cache only");
    let done = repair_from(&lab.target(), &donor.reader(), &mut |_| {}).unwrap();
    assert!(!done.still_damaged, "{done:?}");
    assert_eq!(generation(&lab.power_cut()), seen, "what was gone by is lost");
    assert_eq!(entries(&lab.power_cut().open()).1, payloads(1..=3));
}

/// Section 4.9: what is not zeros is kept aside first, durably: also where a run that was killed made the folder for
/// that, and did not sync its name. Cut off at each call.
#[test]
fn a_folder_of_copies_that_was_found_is_synced() {
    let lab = three();
    let donor = lab.with(lab.disk.fork());
    let mut damaged = lab.read("segment-0001.wal");
    damaged[40] ^= 1;
    lab.write("segment-0001.wal", &damaged);
    let storage: &dyn walden::storage::Storage = &lab.disk;
    storage.create_dir(&lab.path("segment.quarantine")).unwrap();
    let repair = |lab: &Lab| {
        let _cut_off = repair_from(&lab.target(), &donor.reader(), &mut |_| {});
    };
    every_stop(&lab, 60, repair, |found, stop| {
        let files = found.disk.files();
        let mut kept = files.iter().filter_map(|path| found.disk.read_file(path).ok());
        assert!(kept.any(|bytes| bytes == damaged), "call {stop}: no copy of what was replaced");
    });
}

/// Either copy of the winning generation alone is enough; and no byte of the other is believed.
#[test]
fn one_copy_is_enough() {
    let lab = three();
    let manifest = ManifestBytes::of(&lab);
    let parity = manifest.winner() % 2;
    let highest = manifest.generation(parity).unwrap();
    for copy in [parity, parity + 2] {
        assert_eq!(manifest.generation(copy), Some(highest), "both copies are written");
        for (from, to) in [(0, BLOCK), (0, 512), (100, 101)] {
            let torn = lab.with(lab.disk.fork());
            let mut bytes = ManifestBytes(manifest.0.clone());
            bytes.0[copy * BLOCK + from..copy * BLOCK + to].fill(0xa5);
            bytes.put(&torn);
            let wal = torn.open();
            assert_eq!(entries(&wal).1, payloads(1..=3));
            assert_goes_on(&torn, wal);
        }
    }
}

/// Section 5: "a sound mark of this log from a generation above the winner's is damage too (the manifest was rolled
/// back)": with both copies of the winner gone, the generation before it is not taken for the truth.
#[test]
fn an_older_generation_is_refused_where_a_mark_knows_of_a_newer() {
    let lab = three();
    let manifest = ManifestBytes::of(&lab);
    let parity = manifest.winner() % 2;
    let mut bytes = manifest;
    for copy in [parity, parity + 2] {
        bytes.0[copy * BLOCK..(copy + 1) * BLOCK].fill(0);
    }
    bytes.put(&lab);
    let before = lab.disk.files();
    let error = lab.try_open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("generation"), "{error}");
    assert_eq!(ManifestBytes::of(&lab).0, bytes.0, "nothing was changed");
    assert_eq!(lab.disk.files(), before);
}

/// The same where the six blocks are a whole older copy of the file: its segments are not as it says.
#[test]
fn a_manifest_older_than_its_segments_is_refused() {
    let lab = three();
    let old = lab.read("segment.manifest");
    let wal = lab.open();
    Lab::append(&wal, 4..=6);
    wal.tick().unwrap();
    wal.truncate_front(3).unwrap();
    wal.close().unwrap();
    drop(wal);
    lab.write("segment.manifest", &old);
    let error = lab.try_open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(error.seq(), Some(1), "{error}");
    assert_eq!(error.last_seq(), Some(2), "segments are missing in front: {error}");
}

/// Section 5: "Versioned and checksummed; the version is a field of its own".
#[test]
fn a_newer_version_is_refused_with_nothing_changed() {
    let lab = three();
    let mut bytes = ManifestBytes::of(&lab);
    let winner = bytes.winner();
    bytes.make_newer(winner);
    bytes.make_newer(winner + 2);
    bytes.put(&lab);
    let before = lab.disk.mutations();
    let error = lab.try_open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("version 2"), "{error}");
    assert_eq!(lab.disk.mutations(), before);
}

/// As `docs/format.md` has it: an older Walden says "written by a newer version" and never "damaged".
#[test]
fn a_newer_version_is_no_damage_for_the_tools() {
    let lab = three();
    let mut bytes = ManifestBytes::of(&lab);
    let winner = bytes.winner();
    bytes.make_newer(winner);
    bytes.make_newer(winner + 2);
    bytes.put(&lab);
    let target = Target::new(DIR, "segment", Arc::new(lab.disk.clone()), Arc::new(lab.clock));
    let refused = [
        verify(&target, &mut |_| {}).map(drop),
        inspect(&target).map(drop),
        repair_plan(&target, &mut |_| {}).map(drop),
    ];
    for error in refused.map(Result::unwrap_err) {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.what_to_do().unwrap().contains("newer walden"), "{error}");
    }
}

/// Section 5: "a log id without a manifest is damage"; "No manifest beside `.idx` files or flagged records: damage".
/// Each is enough, and however often it is tried.
#[test]
fn a_lost_manifest_is_noticed_each_time() {
    let batches = |middle: bool| {
        let lab = Lab::new(SyncStrategy::Always, 300);
        let wal = lab.open();
        Lab::append(&wal, 1..=1);
        wal.append_batch(["two", "three"]).unwrap();
        Lab::append(&wal, 4..=if middle { 9 } else { 4 });
        wal.close().unwrap();
        lab
    };
    let idx = |lab: &Lab| lab.names(".idx");
    for (lab, keeps) in [
        (three(), "the lock file's log id"),
        (three(), "the indexes"),
        (batches(false), "a batch between plain records, in the last segment"),
        (batches(true), "a batch at the end of a complete segment"),
    ] {
        lab.remove("segment.manifest");
        if !keeps.contains("lock") {
            lab.remove("segment.lock");
        }
        if keeps != "the indexes" {
            idx(&lab).iter().for_each(|name| lab.remove(name));
        }
        if keeps.contains("complete") {
            // A complete segment that ends in the batch: the Go library reads none of it.
            let first = lab.read("segment-0000.wal");
            lab.write("segment-0000.wal", &first[..80 + 48]);
            lab.write("segment-0001.wal", &crate::support::records(4..=5));
            lab.remove("segment-0002.wal");
        }
        for _ in 0..3 {
            let error = lab.try_open().expect_err(keeps);
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{keeps}: {error}");
            assert!(error.to_string().contains("manifest is missing"), "{keeps}: {error}");
            assert!(!lab.has("segment.manifest"), "{keeps}: none was made");
        }
    }
}

/// A lock file that cannot be read is an error, not one that names no log: without its word a log that lost its manifest
/// would be taken over as one that never had any.
#[test]
fn a_lock_file_that_cannot_be_read_is_an_error() {
    let lab = Lab::new(SyncStrategy::Always, 4096);
    let wal = lab.open();
    Lab::append(&wal, 1..=3);
    wal.close().unwrap();
    drop(wal);
    lab.names(".idx").iter().for_each(|name| lab.remove(name));
    lab.remove("segment.manifest");
    lab.disk.add_fault(Fault::new(Action::Error(EIO)).on([OpKind::Read]).suffix(".lock").nth(1));
    let error = lab.try_open().unwrap_err();
    assert_eq!((error.kind(), error.file()), (ErrorKind::Io, Some(&*lab.path("segment.lock"))));
    assert!(!lab.has("segment.manifest"), "none was made");
    assert_eq!(lab.try_open().unwrap_err().kind(), ErrorKind::Corrupt);
}

/// Section 5: "Made once: segment 0 and its directory entry first, then `<prefix>.manifest.new`, synced, renamed,
/// directory synced"; the folder's name too (section 4.6). Each call cut off, and each call of the recovery.
#[test]
fn making_a_log_cut_off_at_every_call_twice() {
    let make = |lab: &Lab| {
        let Ok(wal) = lab.try_open() else { return };
        drop(wal.append(crate::support::payload(1)));
        std::mem::forget(wal);
    };
    every_stop(&Lab::new(SyncStrategy::Always, 100), 12, make, |found, _| {
        every_stop(
            found,
            1,
            |lab| drop(lab.try_open()),
            |again, _| {
                let wal = again.open();
                assert_prefix(&wal, 1, 1, 2);
                assert_goes_on(again, wal);
            },
        );
    });
}

/// Section 5, opening and clean close: cut off at every call, and again in the recovery: all entries stay.
#[test]
fn opening_and_closing_cut_off_at_every_call_twice() {
    let lab = three();
    let open_and_close = |lab: &Lab| {
        let Ok(wal) = lab.try_open() else { return };
        drop(wal.append(crate::support::payload(4)));
        drop(wal.close());
    };
    every_stop(&lab, 12, open_and_close, |found, stop| {
        every_stop(
            found,
            1,
            |lab| drop(lab.try_open()),
            |again, inner| {
                let wal = again.open();
                assert_prefix(&wal, 1, 4, 5);
                if (stop + inner) % 4 == 0 {
                    assert_goes_on(again, wal);
                }
            },
        );
    });
}

/// Section 4.6: "a new file's entry (and that of each folder made) is synced before a record in it counts as durable":
/// a folder that an opening made whose process was killed is synced into the one above by the next, or that one fails,
/// whatever fails and whatever else lies there. A manifest with another prefix says nothing of it.
#[test]
fn a_folder_that_was_made_before_is_synced_into_the_one_above() {
    let rest = |lab: &Lab, what: &str| {
        let wal = (0..3).find_map(|_| lab.try_open().ok()).expect(what);
        Lab::append(&wal, 1..=3);
        std::mem::forget(wal);
        assert_eq!(entries(&lab.power_cut().open()), (1, payloads(1..=3)), "{what}");
    };
    let made = Lab::new(SyncStrategy::Always, 4096);
    made.disk.stop_after(2);
    drop(made.try_open().unwrap_err());
    let made = made.kill();
    for op in [OpKind::List, OpKind::SyncDir] {
        for nth in 1..=4 {
            let lab = made.with(made.disk.fork());
            lab.disk.add_fault(Fault::new(Action::Error(EIO)).on([op]).nth(nth));
            rest(&lab, &format!("{op} {nth}"));
        }
    }
    let storage: &dyn walden::storage::Storage = &made.disk;
    storage.create(&made.path("other.manifest")).unwrap().sync_all().unwrap();
    storage.sync_dir(DIR.as_ref()).unwrap();
    rest(&made, "beside another log");
}

/// Who may not read the folder above cannot sync it, and did not make this one in it: that keeps no log from opening.
#[test]
fn a_folder_above_that_may_not_be_read_is_not_synced() {
    const EACCES: i32 = 13;
    let lab = Lab::new(SyncStrategy::Always, 4096);
    let storage: &dyn walden::storage::Storage = &lab.disk;
    storage.create_dir(DIR.as_ref()).unwrap();
    storage.sync_dir("/".as_ref()).unwrap();
    lab.disk.add_fault(Fault::new(Action::Error(EACCES)).on([OpKind::List]).nth(2));
    let wal = lab.open();
    Lab::append(&wal, 1..=1);
    assert_eq!(lab.disk.faults_met(), 1);
    assert_goes_on(&lab, wal);
}

/// Section 4.10: one writer at a time. A second one is refused with nothing changed, until the first one goes.
#[test]
fn a_second_writer_is_refused() {
    let lab = three();
    let wal = lab.open();
    let before = lab.read("segment.manifest");
    let error = lab.try_open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    assert_eq!(lab.read("segment.manifest"), before);
    Lab::append(&wal, 4..=4);
    drop(wal);
    assert_eq!(entries(&lab.open()), (1, payloads(1..=4)));
}
