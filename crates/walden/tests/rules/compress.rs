//! Complete segments stored otherwise: entries, seq ids, times and batches stay, whatever a crash cuts off.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use walden::offline::{self, Recompress, Recompressed, Severity, Target};
use walden::{Compression, ErrorKind, SyncStrategy};
use walden_sim::{Action, EIO, Fault, OpKind, SectorTear, enumerate_crashes};

use crate::support::{DIR, Lab, assert_goes_on, entries, every_stop};

const LZ4: Recompress = Recompress::to(Compression::Lz4);
const PLAIN: Recompress = Recompress::to(Compression::None);

fn line(i: u64) -> Vec<u8> {
    format!("{{\"level\":\"info\",\"request\":{i},\"path\":\"/a/path/that/is/asked/for/again/and/again\",\"ms\":{}}}", i % 7)
        .into_bytes()
}

fn target(lab: &Lab) -> Target {
    Target::new(DIR, "segment", Arc::new(lab.disk.clone()), Arc::new(lab.clock.clone()))
}

fn compress(lab: &Lab, how: &Recompress) -> walden::Result<Recompressed> {
    offline::compress(&target(lab), how, &mut |_| {})
}

/// A log of some segments, with batches and with what does not get smaller; closed, all on disk, and not touched for a
/// year.
fn lab() -> Lab {
    let lab = Lab::new(SyncStrategy::Always, 3000);
    let wal = lab.open();
    for i in 0..8_u64 {
        lab.clock.advance(Duration::from_secs(60));
        wal.append(line(i)).unwrap();
        wal.append(vec![7; 400]).unwrap();
        wal.append_batch((0..1 + i * 9 % 40).map(|k| line(i + k))).unwrap();
        wal.append(i.to_le_bytes()).unwrap();
        wal.append(b"").unwrap();
        drop(wal.tick());
    }
    wal.close().unwrap();
    drop(wal);
    lab.disk.settle();
    lab.clock.advance(Duration::from_secs(365 * 24 * 60 * 60));
    lab
}

/// Of each complete segment, when its entries were appended, and whether that is only the file's time.
fn times(lab: &Lab) -> BTreeMap<u64, (Option<SystemTime>, Option<SystemTime>, bool)> {
    let segments = offline::inspect(&target(lab)).unwrap().segments.unwrap();
    let sealed = segments.into_iter().filter(|segment| segment.sealed);
    sealed.map(|s| (s.ordinal, (s.first_time, s.last_time, s.times_from_file))).collect()
}

fn held(lab: &Lab) -> (u64, Vec<Vec<u8>>) {
    let log = lab.reader();
    let all = log.range(..).unwrap();
    (log.first_seq(), all.map(|entry| entry.unwrap().payload.to_vec()).collect())
}

#[track_caller]
fn assert_sound(lab: &Lab) {
    let verified = offline::verify(&target(lab), &mut |_| {}).unwrap();
    let bad: Vec<_> = verified.findings.iter().filter(|f| f.severity != Severity::Note).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

fn leftovers(lab: &Lab) -> Vec<String> {
    [".next", ".new"].into_iter().flat_map(|ending| lab.names(ending)).collect()
}

fn segments(lab: &Lab) -> BTreeMap<String, Vec<u8>> {
    lab.names(".wal").into_iter().map(|name| (name.clone(), lab.read(&name))).collect()
}

#[test]
fn entries_and_times_stay_and_it_can_be_undone() {
    let lab = lab();
    let (all, before, plain) = (held(&lab), times(&lab), segments(&lab));
    assert!(before.len() > 3 && before.values().all(|(first, last, file)| first <= last && !file));
    assert!(before.values().any(|(first, last, _)| first < last));
    let done = compress(&lab, &LZ4).unwrap();
    assert_eq!((done.segments, done.rewritten), (before.len() as u64, before.len() as u64));
    assert!(done.bytes_after * 3 < done.bytes_before * 2 && done.compressed < done.records);
    let size: usize = segments(&lab).values().map(Vec::len).sum();
    let sealed = |name: &str| lab.read(name).len() as u64;
    let active = sealed(&lab.names(".wal").pop().unwrap());
    assert_eq!(size as u64, done.bytes_after + active);
    assert_eq!((held(&lab), times(&lab)), (all.clone(), before.clone()));
    assert_sound(&lab);
    assert!(leftovers(&lab).is_empty());
    // All of it is on disk.
    let after = lab.power_cut();
    assert_eq!((held(&after), times(&after)), (all.clone(), before.clone()));
    let wal = after.open();
    assert_eq!(entries(&wal), all);
    for (seq, payload) in (1..).zip(&all.1) {
        assert_eq!(wal.get(seq).unwrap().unwrap().payload, payload);
    }
    assert_goes_on(&after, wal);
    // Again: there is nothing to do.
    let files = segments(&lab);
    let done = compress(&lab, &LZ4).unwrap();
    assert_eq!((done.rewritten, done.bytes_after), (0, done.bytes_before));
    assert_eq!(segments(&lab), files);
    // And back, to the byte.
    compress(&lab, &PLAIN).unwrap();
    assert_eq!((segments(&lab), times(&lab)), (plain, before));
    assert_eq!(compress(&lab, &PLAIN).unwrap().rewritten, 0);
}

/// Section 4.1, 4.2, 4.6: cut off at each call, the log holds what it held, and the next run goes on; without an opening in
/// between, the times are those of the appends all the same.
#[test]
fn cut_off_at_every_call() {
    let lab = lab();
    let (all, before) = (held(&lab), times(&lab));
    let done = compress(&lab.with(lab.disk.fork()), &LZ4).unwrap();
    for tear in [SectorTear::Whole, SectorTear::Changed] {
        lab.disk.set_sector_tear(tear);
        let stops = every_stop(
            &lab,
            6,
            |lab| drop(compress(lab, &LZ4)),
            |found, stop| {
                assert_eq!(held(found), all, "call {stop}");
                let again = found.with(found.disk.fork());
                let after = compress(&again, &LZ4).unwrap();
                assert_eq!(after.bytes_after, done.bytes_after, "call {stop}");
                assert_eq!(
                    (held(&again), times(&again)),
                    (all.clone(), before.clone()),
                    "call {stop}"
                );
                assert!(leftovers(&again).is_empty(), "call {stop}");
                // What the opener finds first is good, too. Where it comes between index and segment, the times of that
                // one segment are its file's, which is when its last entry was appended.
                let wal = found.open();
                assert_eq!(entries(&wal), all, "call {stop}");
                for _ in 0..3 {
                    found.clock.advance(Duration::from_secs(2));
                    drop(wal.submit("something to do").unwrap());
                    wal.tick().unwrap();
                }
                wal.close().unwrap();
                drop(wal);
                assert!(leftovers(found).is_empty(), "call {stop}");
                assert_sound(found);
                let whole = before.values().zip(times(found).into_values());
                let differ: Vec<_> = whole.filter(|(before, now)| *before != now).collect();
                assert!(differ.len() <= 1, "call {stop}: {differ:?}");
                for (before, now) in differ {
                    // Without an index, for the time being, the file's own time serves.
                    let Some(last) = now.1 else { continue };
                    assert!(now.2 && now.1 >= before.1, "call {stop}: {now:?}, not {before:?}");
                    let late = last.duration_since(before.1.unwrap()).unwrap();
                    assert!(late < Duration::from_secs(600), "call {stop}: {late:?} late");
                }
            },
        );
        assert!(stops > 40, "{stops} calls");
    }
}

/// Section 4.8: a full disk, wherever it is met.
#[test]
fn a_full_disk_at_every_call() {
    let lab = lab();
    let (all, before) = (held(&lab), times(&lab));
    let room = lab.disk.used();
    for more in 0.. {
        let here = lab.with(lab.disk.fork());
        here.disk.set_capacity(Some(room + more * 1024));
        match compress(&here, &LZ4) {
            Ok(_) => {
                assert!(more > 2);
                break;
            }
            Err(error) => assert!(error.is_out_of_space(), "{error}"),
        }
        assert_eq!((held(&here), times(&here)), (all.clone(), before.clone()));
        assert!(leftovers(&here).is_empty(), "what was begun is gone: it takes room");
        assert_sound(&here);
        here.disk.set_capacity(None);
        compress(&here, &LZ4).unwrap();
        assert_eq!((held(&here), times(&here)), (all.clone(), before.clone()));
    }
}

/// Section 4.11: "An I/O error is a returned error", and the log is as good as before.
#[test]
fn a_failing_disk_at_every_call() {
    let lab = lab();
    let all = held(&lab);
    for op in [
        OpKind::Open,
        OpKind::Create,
        OpKind::Write,
        OpKind::SyncAll,
        OpKind::Rename,
        OpKind::SyncDir,
        OpKind::Read,
    ] {
        for nth in 1..200 {
            let here = lab.with(lab.disk.fork());
            here.disk.add_fault(Fault::new(Action::Error(EIO)).on([op]).nth(nth));
            let done = compress(&here, &LZ4);
            if here.disk.faults_met() == 0 {
                assert!(nth > 1 && done.is_ok(), "{op}");
                break;
            }
            here.disk.clear_faults();
            assert_eq!(held(&here), all, "{op} {nth}");
            enumerate_crashes(&here.disk, 2, |image| {
                assert_eq!(held(&here.with(image)), all, "{op} {nth}")
            });
            assert_goes_on(&here, here.open());
        }
    }
}

/// Nothing is made of what is not sound, and what is before it stays done.
#[test]
fn damage_is_not_rewritten() {
    let lab = lab();
    let name = "segment-0002.wal";
    lab.disk.flip_bit(lab.path(name), 8 * 500).unwrap();
    let damaged = segments(&lab);
    let error = compress(&lab, &LZ4).unwrap_err();
    assert!(
        error.is_corruption() && error.file().is_some_and(|path| path.ends_with(name)),
        "{error}"
    );
    assert!(error.offset().is_some() && error.what_to_do().unwrap().contains("verify"), "{error}");
    let now = segments(&lab);
    assert!(leftovers(&lab).is_empty() && now["segment-0000.wal"] != damaged["segment-0000.wal"]);
    assert!(now.iter().skip(2).eq(damaged.iter().skip(2)));
}

#[test]
fn what_cannot_be_done_is_refused() {
    let lab = lab();
    let files = segments(&lab);
    let kind = |lab: &Lab, how: &Recompress| compress(lab, how).unwrap_err().kind();
    assert_eq!(kind(&lab, &LZ4.with_dictionary()), ErrorKind::InvalidInput);
    if !(Compression::Zstd { level: 1 }).is_available() {
        assert_eq!(
            kind(&lab, &Recompress::to(Compression::Zstd { level: 1 })),
            ErrorKind::Unsupported
        );
    }
    let nowhere = Target::new(
        Path::new("/nowhere"),
        "segment",
        Arc::new(lab.disk.clone()),
        Arc::new(lab.clock.clone()),
    );
    let error = offline::compress(&nowhere, &LZ4, &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let wal = lab.open();
    assert_eq!(kind(&lab, &LZ4), ErrorKind::Locked);
    wal.close().unwrap();
    drop(wal);
    let now = segments(&lab);
    assert!(files.iter().all(|(name, bytes)| now[name] == *bytes));
    // Without a manifest, nobody knows what is complete.
    let manifest = lab.read("segment.manifest");
    lab.remove("segment.manifest");
    assert!(compress(&lab, &LZ4).is_err());
    lab.write("segment.manifest", &manifest);
    // A cut that is not finished goes first.
    let cut = lab.with(lab.disk.fork());
    let stops = every_stop(
        &cut,
        1,
        |lab| {
            let Ok(wal) = lab.try_open() else { return };
            drop(wal.truncate_back(20));
            std::mem::forget(wal);
        },
        |found, _| {
            let before = held(found);
            match compress(found, &LZ4) {
                Ok(_) => assert_eq!(held(found), before),
                Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}"),
            }
            assert_eq!(entries(&found.open()), before);
        },
    );
    assert!(stops > 5);
}

/// What is cut out of compressed segments stays cut, and the rest stays.
#[test]
fn a_compressed_log_is_cut_as_any() {
    let lab = lab();
    compress(&lab, &LZ4).unwrap();
    let all = held(&lab).1;
    let next = all.len() as u64 + 1;
    for last in (1..next).step_by(5) {
        let here = lab.with(lab.disk.fork());
        let wal = here.open();
        let kept = usize::try_from(last).unwrap();
        wal.truncate_back(last).unwrap();
        assert_eq!(entries(&wal), (1, all[..kept].to_vec()));
        wal.truncate_front(last / 2 + 1).unwrap();
        assert_eq!(entries(&wal), (last / 2 + 1, all[kept / 2..kept].to_vec()));
        wal.close().unwrap();
        drop(wal);
        // And again, with what was cut in front in the first file.
        let before = held(&here);
        compress(&here, &PLAIN).unwrap();
        assert_eq!(held(&here), before);
        assert_goes_on(&here, here.open());
    }
}

/// A reader elsewhere that has the log open meanwhile reads on: it knows segments of which the files are others now.
#[test]
fn a_reader_elsewhere_reads_on() {
    let lab = Lab::new(SyncStrategy::Always, 300);
    let wal = lab.open();
    // More segments than a reader keeps open.
    for i in 0..80 {
        wal.append(line(i).repeat(2)).unwrap();
        drop(wal.tick());
    }
    wal.close().unwrap();
    drop(wal);
    let log = lab.reader();
    let mut reader = log.reader();
    let mut read = |seqs: std::ops::Range<u64>| {
        for seq in seqs {
            let entry = reader.read_next().unwrap().unwrap();
            assert_eq!((entry.seq, entry.payload), (seq, &line(seq - 1).repeat(2)[..]));
        }
    };
    let all = || log.range(..).unwrap().rev().filter(|entry| entry.is_ok()).count();
    assert_eq!(all(), 80);
    read(1..30);
    assert!(compress(&lab, &LZ4).unwrap().rewritten > 64);
    read(30..60);
    assert_eq!(all(), 80);
    compress(&lab, &PLAIN).unwrap();
    read(60..81);
    for seq in (1..=80).rev().step_by(7) {
        assert_eq!(log.get(seq).unwrap().unwrap().payload, line(seq - 1).repeat(2));
    }
}

/// A position is a seq id: the offset that a reader was at is not the one where it reads on.
#[test]
fn readers_read_on_in_what_was_stored_anew() {
    // More segments than readers keep files of.
    let lab = Lab::new(SyncStrategy::Always, 300);
    let mut all: Vec<_> = (1..400).map(line).collect();
    let wal = lab.open();
    for pair in all.chunks(2) {
        wal.append_batch(pair).unwrap();
    }
    wal.close().unwrap();
    drop(wal);
    assert!(lab.names(".wal").len() > 64);
    for how in [LZ4, PLAIN] {
        let log = lab.reader();
        let mut readers: Vec<_> = (1..=all.len() as u64)
            .map(|seq| {
                let mut reader = log.reader_at(seq).unwrap();
                reader.read_next().unwrap().unwrap();
                reader
            })
            .collect();
        // What is the active segment to them is complete, and compressed, when they read on.
        let wal = lab.open();
        for i in 0..9 {
            all.push(line(i));
            wal.append(line(i)).unwrap();
        }
        wal.close().unwrap();
        drop(wal);
        assert!(compress(&lab, &how).unwrap().rewritten > 8);
        for (from, reader) in (1..).zip(&mut readers) {
            let few = &all[from..all.len().min(from + 12)];
            for payload in few {
                assert_eq!(reader.read_next().unwrap().unwrap().payload, *payload, "from {from}");
            }
        }
        for (from, reader) in (1..).zip(&mut readers) {
            let to = all.len().min(from + 12);
            for payload in all[to.saturating_sub(20)..to].iter().rev() {
                assert_eq!(
                    reader.read_prev().unwrap().unwrap().payload,
                    *payload,
                    "back from {to}"
                );
            }
        }
    }
}
