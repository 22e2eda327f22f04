//! Compressed records in a log: written in every way, read in every way, cut, shipped, copied and saved, each codec
//! alone and all of them mixed.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::big_endian_bytes,
    reason = "a test fails by panicking; the format is the Go library's"
)]

use std::path::Path;
use std::sync::Arc;

use walden::offline::{self, Severity, Target};
use walden::storage::{OsStorage, SystemClock};
use walden::{
    Compression, Config, Entry, ErrorKind, Event, Frames, LogReader, Reader, Result, SyncStrategy,
    Wal,
};

const STRATEGIES: [SyncStrategy; 3] =
    [SyncStrategy::Background, SyncStrategy::OsCache, SyncStrategy::Always];

fn config(strategy: SyncStrategy) -> Config {
    Config::durable().sync_strategy(strategy).segment_size(100_000)
}

/// The codecs that this build has.
fn codecs() -> Vec<Compression> {
    let all = [Compression::Snappy, Compression::Zstd { level: 1 }, Compression::Lz4];
    all.into_iter().filter(|codec| codec.is_available()).collect()
}

fn compressed_as(codec: Compression) -> Config {
    Config::durable().compression(codec)
}

fn line(i: usize) -> Vec<u8> {
    format!(
        "{{\"level\":\"info\",\"request\":{i},\"path\":\"/a/path/that/is/asked/for\",\"ms\":{}}}",
        i % 7
    )
    .into_bytes()
}

/// Bytes that no codec makes smaller.
fn noise(seed: usize, len: usize) -> Vec<u8> {
    let mut state = seed as u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(state >> 56).unwrap()
    };
    (0..len).map(|_| next()).collect()
}

/// Appends in every way, by each handle in turn.
fn fill(handles: &[Wal], all: &mut Vec<Vec<u8>>) {
    for (round, wal) in handles.iter().cycle().take(handles.len().max(3) * 2).enumerate() {
        let long: Vec<u8> = (0..).flat_map(line).take(40_000 + round).collect();
        for payload in
            [line(round), noise(round, 300), b"x".to_vec(), vec![], long, noise(round, 20_000)]
        {
            wal.append(&payload).unwrap();
            all.push(payload);
        }
        let parts = [line(round), noise(round, 10), line(round + 1)];
        wal.append_parts(&[&parts[0], &parts[1], &parts[2]]).unwrap();
        all.push(parts.concat());
        let batches: [Vec<Vec<u8>>; 5] = [
            (0..50).map(line).collect(),
            vec![line(1), vec![], vec![], line(1)],
            (0..20).map(|i| noise(i, 40)).collect(),
            vec![line(2)],
            (0..300).map(|i| line(i * round)).collect(),
        ];
        for batch in batches {
            let seqs = wal.append_batch(&batch).unwrap();
            assert_eq!(seqs.end - seqs.start, batch.len() as u64);
            all.extend(batch);
        }
        let one = wal.submit(line(round)).unwrap();
        let several = wal.submit_batch((0..9).map(line)).unwrap();
        all.push(line(round));
        all.extend((0..9).map(line));
        one.wait().unwrap();
        several.wait().unwrap();
    }
}

fn drain(entries: impl Iterator<Item = Result<Entry>>) -> Vec<(u64, Vec<u8>)> {
    entries.map(|entry| entry.map(|entry| (entry.seq, entry.payload.to_vec())).unwrap()).collect()
}

/// What must be read, whatever it is read with.
fn numbered(first: u64, all: &[Vec<u8>]) -> Vec<(u64, Vec<u8>)> {
    (first..).zip(all.iter().cloned()).collect()
}

#[track_caller]
fn read_in_both_directions(mut reader: Reader, expected: &[(u64, Vec<u8>)]) {
    for (seq, payload) in expected {
        let entry = reader.read_next().unwrap().unwrap();
        assert_eq!((entry.seq, entry.payload), (*seq, &payload[..]));
    }
    assert!(reader.read_next().unwrap().is_none());
    for (seq, payload) in expected.iter().rev() {
        let entry = reader.read_prev().unwrap().unwrap();
        assert_eq!((entry.seq, entry.payload), (*seq, &payload[..]));
    }
    // Jumps, each into the middle of something else.
    let mut at = 0;
    for _ in 0..100 {
        at = (at * 31 + 17) % expected.len();
        let (seq, payload) = &expected[at];
        reader.seek(*seq).unwrap();
        assert_eq!(reader.read_next().unwrap().unwrap().payload, payload);
        assert_eq!(reader.read_prev().unwrap().unwrap().payload, payload);
    }
}

#[track_caller]
fn holds(wal: &Wal, expected: &[(u64, Vec<u8>)]) {
    assert!(drain(wal.range(..).unwrap()) == expected, "forward");
    let mut back = drain(wal.range(..).unwrap().rev());
    back.reverse();
    assert!(back == expected, "backward");
    for (seq, payload) in expected {
        assert_eq!(wal.get(*seq).unwrap().unwrap().payload, payload);
    }
    read_in_both_directions(wal.reader(), expected);
    let mut follower = wal.follow(expected[0].0).unwrap();
    for (seq, payload) in expected {
        let Some(Event::Entry(entry)) = follower.try_next().unwrap() else { panic!("no entry") };
        assert!(entry.seq == *seq && entry.payload == *payload);
    }
}

#[track_caller]
fn holds_beside(dir: &Path, expected: &[(u64, Vec<u8>)]) {
    let log = LogReader::open(dir).unwrap();
    assert!(drain(log.range(..).unwrap()) == expected, "forward");
    let mut back = drain(log.range(..).unwrap().rev());
    back.reverse();
    assert!(back == expected, "backward");
    for (seq, payload) in expected.iter().step_by(7) {
        assert_eq!(log.get(*seq).unwrap().unwrap().payload, payload);
    }
    read_in_both_directions(log.reader(), expected);
}

fn target(dir: &Path) -> Target {
    Target::new(dir, "segment", Arc::new(OsStorage::new()), Arc::new(SystemClock::default()))
}

/// Flags, seq id and stored length of every record in the first segments of a closed log.
fn records(dir: &Path) -> Vec<(u64, u64, u64)> {
    let mut found = Vec::new();
    for ordinal in 0.. {
        let Ok(bytes) = std::fs::read(dir.join(format!("segment-{ordinal:04}.wal"))) else { break };
        let mut at = 0;
        while at < bytes.len() {
            let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
            let (size, len) = (number(at + 4), number(at + 4) & ((1 << 48) - 1));
            found.push((size >> 48, number(at + 12), len));
            at += usize::try_from(len).unwrap() + 28;
        }
    }
    found
}

#[test]
fn whatever_is_written_is_read() {
    for strategy in STRATEGIES {
        let mut kinds: Vec<Vec<Compression>> =
            codecs().into_iter().map(|codec| vec![codec]).collect();
        kinds.push([&codecs()[..], &[Compression::None]].concat());
        for kind in kinds {
            let dir = tempfile::tempdir().unwrap();
            let wal = Wal::open(dir.path(), config(strategy).compression(kind[0])).unwrap();
            let handles: Vec<Wal> =
                kind.iter().map(|codec| wal.with_compression(*codec).unwrap()).collect();
            let mut all = Vec::new();
            fill(&handles, &mut all);
            let expected = numbered(1, &all);
            holds(&wal, &expected);
            drop(handles);
            let stats = wal.stats();
            assert!(stats.segments > 1, "{stats:?}");
            assert_eq!(stats.compressed > 0 && stats.bytes_saved > 0, !codecs().is_empty());
            wal.close().unwrap();
            drop(wal);
            holds_beside(dir.path(), &expected);
            let flags = records(dir.path()).into_iter().map(|(flags, ..)| flags >> 8 & 7);
            let found: std::collections::BTreeSet<u64> = flags.collect();
            assert_eq!(found.len(), 1 + kind.iter().filter(|c| **c != Compression::None).count());
            // What was written so is read by who would not write so.
            let wal = Wal::open(dir.path(), config(strategy)).unwrap();
            holds(&wal, &expected);
        }
    }
}

#[test]
fn what_gains_nothing_is_stored_as_it_is() {
    for codec in codecs() {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(dir.path(), compressed_as(codec)).unwrap();
        let (short, shortest) = (vec![b'a'; 63], vec![b'a'; 64]);
        for payload in [&short, &shortest, &noise(1, 5000)] {
            wal.append(payload).unwrap();
        }
        wal.append_batch([noise(2, 3000), noise(3, 3000)]).unwrap();
        wal.with_compression(Compression::None).unwrap().append(vec![0; 1000]).unwrap();
        wal.append(vec![0; 1000]).unwrap();
        wal.close().unwrap();
        let compressed: Vec<bool> =
            records(dir.path()).into_iter().map(|(flags, ..)| flags >> 8 & 7 != 0).collect();
        assert_eq!(compressed, [false, true, false, false, false, true], "{codec:?}");
        drop(wal);
        let config = Config::durable().compression(codec).compression_threshold(2000);
        let wal = Wal::open(dir.path(), config).unwrap();
        wal.append(vec![0; 1999]).unwrap();
        assert_eq!(wal.stats().compressed, 0);
        wal.append(vec![0; 2000]).unwrap();
        assert_eq!(wal.stats().compressed, 1);
    }
}

#[test]
fn a_codec_that_is_not_there_is_named() {
    for (codec, feature) in [
        (Compression::Snappy, "`snappy`"),
        (Compression::Zstd { level: 3 }, "`zstd`"),
        (Compression::Lz4, "`lz4`"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(dir.path(), Config::durable()).unwrap();
        let other = wal.with_compression(codec);
        assert_eq!(other.is_ok(), codec.is_available());
        if codec.is_available() {
            continue;
        }
        drop(wal);
        let opened = Wal::open(dir.path(), Config::durable().compression(codec));
        for error in [other.unwrap_err(), opened.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            assert!(error.what_to_do().unwrap().contains(feature), "{error}");
        }
    }
}

/// The first entries of a batch stay, wherever the cut goes through it.
#[test]
fn a_cut_through_a_batch() {
    for codec in codecs() {
        for last in 4..=12 {
            let dir = tempfile::tempdir().unwrap();
            let wal = Wal::open(dir.path(), compressed_as(codec)).unwrap();
            let mut all: Vec<Vec<u8>> = (0..2).map(line).collect();
            for payload in &all {
                wal.append(payload).unwrap();
            }
            wal.append_batch((2..12).map(line)).unwrap();
            wal.append(line(99)).unwrap();
            assert!(wal.stats().compressed > 0, "{codec:?}");
            wal.truncate_back(last).unwrap();
            all.extend((2..).map(line).take(usize::try_from(last).unwrap() - 2));
            holds(&wal, &numbered(1, &all));
            wal.append_batch((50..70).map(line)).unwrap();
            all.extend((50..70).map(line));
            holds(&wal, &numbered(1, &all));
            wal.close().unwrap();
            drop(wal);
            holds_beside(dir.path(), &numbered(1, &all));
        }
    }
}

/// Frames carry records as they are stored; the copy's own settings have nothing to do with it.
#[test]
fn copies_by_frames() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let source = Wal::open(&from, config(SyncStrategy::Always)).unwrap();
    let mut handles = vec![source.clone()];
    handles.extend(codecs().into_iter().map(|codec| source.with_compression(codec).unwrap()));
    let mut all = Vec::new();
    fill(&handles, &mut all);
    let copy = Wal::open(&to, config(SyncStrategy::OsCache)).unwrap();
    // Each time from a little before, and from inside of batches.
    while copy.next_seq() < source.next_seq() {
        let at = copy.next_seq().saturating_sub(3).max(1);
        let frames = source.frames(at, 150_000).unwrap().unwrap();
        copy.append_frames(&Frames::from_bytes(frames.to_bytes()).unwrap()).unwrap();
    }
    holds(&copy, &numbered(1, &all));
    assert_eq!(copy.stats().compressed, 0, "nothing is compressed again");
    #[cfg(feature = "digest")]
    assert_eq!(copy.digest(..).unwrap(), source.digest(..).unwrap());
    for wal in handles.into_iter().chain([source, copy]) {
        wal.close().unwrap();
    }
    assert_eq!(records(&from), records(&to));
}

/// Where one log has a batch whole and the other the beginning of it, which a cut left, what both have is compared
/// by what it holds.
#[test]
fn the_same_entries_stored_otherwise() {
    for codec in codecs() {
        let dir = tempfile::tempdir().unwrap();
        let source = Wal::open(dir.path().join("from"), compressed_as(codec)).unwrap();
        source.append_batch((0..20).map(line)).unwrap();
        let frames = source.frames(1, 1 << 20).unwrap().unwrap();
        let copy = Wal::open(dir.path().join("to"), Config::durable()).unwrap();
        copy.append_frames(&frames).unwrap();
        source.truncate_back(10).unwrap();
        let shorter = source.frames(1, 1 << 20).unwrap().unwrap();
        assert_eq!(copy.append_frames(&shorter).unwrap(), 11..11, "{codec:?}: they hold the same");
        let other = Wal::open(dir.path().join("other"), compressed_as(codec)).unwrap();
        other.append_batch((1..21).map(line)).unwrap();
        assert_eq!(other.append_frames(&shorter).unwrap_err().kind(), ErrorKind::Diverged);
        // A record that holds more than the copy reads is not taken.
        let small = Config::durable().max_record_size(frames.len());
        let small = Wal::open(dir.path().join("small"), small).unwrap();
        let error = small.append_frames(&frames).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{codec:?}: {error}");
        assert!(small.is_empty());
    }
}

#[test]
fn tools_keep_what_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("log");
    let wal = Wal::open(&from, config(SyncStrategy::Always)).unwrap();
    let mut handles = vec![wal.clone()];
    handles.extend(codecs().into_iter().map(|codec| wal.with_compression(codec).unwrap()));
    let mut all = Vec::new();
    fill(&handles, &mut all);
    drop(handles);
    wal.close().unwrap();
    drop(wal);
    let expected = numbered(1, &all);
    let log = target(&from);
    let verified = offline::verify(&log, &mut |_| {}).unwrap();
    assert!(verified.findings.iter().all(|f| f.severity == Severity::Note), "{verified:?}");
    assert_eq!((verified.first_seq, verified.next_seq), (1, all.len() as u64 + 1));
    assert!(offline::inspect(&log).unwrap().findings.is_empty());
    offline::copy(&log, dir.path().join("copy"), &mut |_| {}).unwrap();
    holds_beside(&dir.path().join("copy"), &expected);
    let saved = offline::salvage(&log, dir.path().join("saved"), &mut |_| {}).unwrap();
    assert!(saved.gaps.is_empty() && saved.runs.len() == 1, "{saved:?}");
    holds_beside(&saved.runs[0].dir, &expected);
}

/// What a record holds is limited by `max_record_size`, however little it takes.
#[test]
fn a_bomb_is_refused() {
    for codec in codecs() {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(dir.path(), compressed_as(codec)).unwrap();
        wal.append("before").unwrap();
        wal.append(vec![0; 8 << 20]).unwrap();
        wal.append_batch(vec![vec![7; 100_000]; 20]).unwrap();
        wal.append("behind").unwrap();
        let written = wal.stats().bytes_appended;
        assert!(written < 1 << 20, "{codec:?}: {written}");
        wal.close().unwrap();
        drop(wal);
        let wal = Wal::open(dir.path(), Config::durable().max_record_size(1 << 20)).unwrap();
        assert_eq!(wal.get(1).unwrap().unwrap().payload, "before");
        assert_eq!(wal.get(23).unwrap().unwrap().payload, "behind");
        for (seq, first, last) in [(2, 2, None), (3, 3, Some(22)), (15, 3, Some(22))] {
            let mut reader = wal.reader_at(seq).unwrap();
            for error in [wal.get(seq).unwrap_err(), reader.read_next().unwrap_err()] {
                assert_eq!(error.kind(), ErrorKind::TooLarge, "{codec:?}: {error}");
                assert!(error.to_string().contains("max_record_size"), "{error}");
                assert_eq!((error.seq(), error.last_seq()), (Some(first), last), "{error}");
                assert!(error.file().is_some() && error.offset().is_some(), "{error}");
            }
        }
        let error = wal.truncate_back(10).unwrap_err();
        assert_eq!((error.kind(), wal.next_seq()), (ErrorKind::TooLarge, 24), "{error}");
        // The limit is on what it holds when it is written, too.
        let lz = wal.with_compression(codec).unwrap();
        let error = lz.append(vec![0; (1 << 20) + 1]).unwrap_err();
        assert_eq!((error.kind(), wal.next_seq()), (ErrorKind::TooLarge, 24), "{error}");
        // Who has no settings goes by the format's own limit.
        assert_eq!(
            LogReader::open(dir.path()).unwrap().get(2).unwrap().unwrap().payload.len(),
            8 << 20
        );
    }
}

/// Many threads, each by a handle of its own.
#[test]
fn threads_compress_beside_each_other() {
    for strategy in STRATEGIES {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(dir.path(), config(strategy)).unwrap();
        let kinds = [&codecs()[..], &[Compression::None]].concat();
        std::thread::scope(|scope| {
            for (thread, codec) in kinds.iter().cycle().take(6).enumerate() {
                let wal = wal.with_compression(*codec).unwrap();
                scope.spawn(move || {
                    for i in 0..60 {
                        let payload = line(thread * 1000 + i).repeat(1 + i % 5);
                        let seq = wal.append(&payload).unwrap();
                        assert_eq!(wal.get(seq).unwrap().unwrap().payload, payload);
                    }
                });
            }
        });
        wal.close().unwrap();
        drop(wal);
        let mut found: Vec<Vec<u8>> =
            drain(LogReader::open(dir.path()).unwrap().range(..).unwrap())
                .into_iter()
                .map(|e| e.1)
                .collect();
        let mut expected: Vec<Vec<u8>> = (0..6_usize)
            .flat_map(|thread| (0..60).map(move |i| line(thread * 1000 + i).repeat(1 + i % 5)))
            .collect();
        found.sort();
        expected.sort();
        assert!(found == expected);
    }
}
