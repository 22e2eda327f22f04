//! Dictionaries: small entries get smaller by them, older ones stay good, and one that is missing or not sound is told
//! of those entries alone that need it.
#![cfg(feature = "zstd")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use walden::offline::{self, Severity, Target};
use walden::{Compression, Config, Dictionary, DictionaryInfo, ErrorKind, Frames, LogReader, Wal};

const SIZE: u64 = 8 << 10;
const ZSTD: Compression = Compression::Zstd { level: 3 };

fn config() -> Config {
    Config::os_cache().segment_size(40_000).compression(ZSTD)
}

/// A line as a service writes them, of about 200 bytes.
fn line(i: u64) -> Vec<u8> {
    let mixed = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    format!(
        "{{\"time\":\"2026-11-26T01:{:02}:{:02}.{:03}Z\",\"level\":\"info\",\"service\":\"orders\",\"host\":\"node-{}\",\
         \"method\":\"GET\",\"path\":\"/api/v2/orders/{}\",\"status\":200,\"bytes\":{},\"took_us\":{}}}",
        i / 60 % 60, i % 60, mixed % 1000, mixed % 12, mixed % 100_000, mixed % 5000, mixed % 90_000
    )
    .into_bytes()
}

/// Something else altogether.
fn other(i: u64) -> Vec<u8> {
    let mixed = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
    format!("<row key='{mixed:x}'><name>customer number {i}</name><balance currency='EUR'>{}</balance></row>", mixed % 99_999)
        .into_bytes()
}

/// Where the entry stands in a list of all.
fn at(seq: u64) -> usize {
    usize::try_from(seq).unwrap() - 1
}

fn append(wal: &Wal, what: fn(u64) -> Vec<u8>, count: u64) -> Vec<Vec<u8>> {
    (0..count)
        .map(|i| {
            wal.append(what(i)).unwrap();
            what(i)
        })
        .collect()
}

/// A log whose entries from `with` on need the dictionary.
struct Made {
    dir: tempfile::TempDir,
    all: Vec<Vec<u8>>,
    with: u64,
    dictionary: DictionaryInfo,
}

impl Made {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(dir.path(), config()).unwrap();
        let mut all = append(&wal, line, 2000);
        let dictionary = wal.train_dictionary(SIZE).unwrap();
        let with = wal.next_seq();
        all.extend(append(&wal, line, 300));
        wal.append_batch((0..20).map(line)).unwrap();
        all.extend((0..20).map(line));
        wal.close().unwrap();
        Self { dir, all, with, dictionary }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn target(&self) -> Target {
        Target::on_disk(self.path(), "segment")
    }
}

#[track_caller]
fn holds(dir: &Path, all: &[Vec<u8>]) {
    let log = LogReader::open(dir).unwrap();
    assert_eq!(log.next_seq(), all.len() as u64 + 1);
    let payloads = |entries: Vec<walden::Entry>| -> Vec<Vec<u8>> {
        entries.into_iter().map(|entry| entry.payload.to_vec()).collect()
    };
    let forward: Vec<_> = log.range(..).unwrap().map(Result::unwrap).collect();
    assert!(payloads(forward) == all, "forward");
    let mut back: Vec<_> = log.range(..).unwrap().rev().map(Result::unwrap).collect();
    back.reverse();
    assert!(payloads(back) == all, "backward");
    for seq in (1..log.next_seq()).step_by(37) {
        assert_eq!(log.get(seq).unwrap().unwrap().payload, all[at(seq)]);
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> =
        entries.filter(|p| p.extension().is_some_and(|e| e == "dict")).collect();
    found.sort();
    found
}

fn written(dir: &Path, what: fn(u64) -> Vec<u8>) -> u64 {
    let wal = Wal::open(dir, config()).unwrap();
    append(&wal, what, 200);
    wal.stats().bytes_appended
}

#[test]
fn small_entries_get_several_times_smaller() {
    let made = Made::new();
    holds(made.path(), &made.all);
    let (with, alone) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    offline::copy(&made.target(), with.path(), &mut |_| {}).unwrap();
    // The next opening goes on with it by itself.
    let (with, alone) = (written(with.path(), line), written(alone.path(), line));
    let plain: u64 = (0..200).map(|i| line(i).len() as u64 + 28).sum();
    assert!(with * 2 < plain && with * 3 < alone * 2, "{with} of {alone} of {plain}");
}

#[test]
fn each_record_is_read_with_its_own() {
    let made = Made::new();
    let (mut all, first) = (made.all.clone(), &made.dictionary);
    let wal = Wal::open(made.path(), config()).unwrap();
    wal.append_batch((0..4000).map(other)).unwrap();
    all.extend((0..4000).map(other));
    let second = wal.train_dictionary(SIZE * 2).unwrap();
    assert!(second.number > first.number && second.id != first.id, "{first:?} {second:?}");
    all.extend(append(&wal, other, 100));
    all.extend(append(&wal, line, 100));
    // What would learn little from it goes without.
    let long: Vec<u8> = (0..400).flat_map(line).collect();
    wal.append(&long).unwrap();
    all.push(long);
    assert_eq!(wal.dictionaries().unwrap().len(), 2);
    wal.close().unwrap();
    drop(wal);
    holds(made.path(), &all);
    let reports = offline::dictionaries(&made.target(), &mut |_| {}).unwrap();
    let needed = |id| reports.iter().find(|report| report.id == id).map(|r| r.records);
    assert_eq!(needed(first.id), Some(301));
    assert!(needed(second.id).is_some_and(|records| (150..=200).contains(&records)), "{reports:?}");
}

/// `check` of each entry that needs the dictionary; all others are read as ever.
#[track_caller]
fn only_its_entries(made: &Made, check: impl Fn(walden::Error)) {
    let log = LogReader::open(made.path()).unwrap();
    for seq in [1, made.with - 1, made.with, made.with + 150, log.next_seq() - 1] {
        let got = log.get(seq);
        if seq < made.with {
            assert_eq!(got.unwrap().unwrap().payload, made.all[at(seq)]);
        } else {
            check(got.unwrap_err());
        }
    }
    // A reader stands where it stood, and goes on behind.
    let mut reader = log.reader_at(made.with - 1).unwrap();
    assert!(reader.read_next().unwrap().is_some());
    check(reader.read_next().unwrap_err());
    reader.seek(1).unwrap();
    assert!(reader.read_next().unwrap().is_some());
    // Appending goes on, too.
    let wal = Wal::open(made.path(), config()).unwrap();
    let seq = wal
        .append("goes on, without a dictionary to be compressed with, as before there was one")
        .unwrap();
    assert!(wal.get(seq).unwrap().is_some());
    wal.truncate_back(seq - 1).unwrap();
    let error = wal.truncate_back(seq - 5).unwrap_err();
    check(error);
    assert_eq!(wal.next_seq(), seq);
}

fn damage(made: &Made) -> Vec<String> {
    let verified = offline::verify(&made.target(), &mut |_| {}).unwrap();
    let damage = verified.findings.iter().filter(|f| f.severity == Severity::Damage);
    damage.map(offline::Finding::message).collect()
}

#[test]
fn one_that_is_missing_is_named() {
    let made = Made::new();
    let (path, aside) = (&made.dictionary.path, made.path().join("aside"));
    assert!(damage(&made).is_empty());
    std::fs::rename(path, &aside).unwrap();
    let log = LogReader::open(made.path()).unwrap();
    only_its_entries(&made, |error| {
        assert_eq!(error.kind(), ErrorKind::MissingDictionary, "{error}");
        assert_eq!(error.file(), Some(&**path), "{error}");
        assert!(error.seq() >= Some(made.with) && error.what_to_do().is_some(), "{error}");
    });
    let damage = damage(&made);
    assert!(damage.len() == 1 && damage[0].contains("missing; 301 records need it"), "{damage:?}");
    // Whoever has the log open need not open it again.
    assert!(log.get(made.with).is_err());
    std::fs::rename(&aside, path).unwrap();
    assert!(log.get(made.with).unwrap().is_some());
    holds(made.path(), &made.all);
}

#[test]
fn no_file_that_changed_is_believed() {
    let made = Made::new();
    let path = &made.dictionary.path;
    let sound = std::fs::read(path).unwrap();
    let log = LogReader::open(made.path()).unwrap();
    let refused = |bytes: &[u8], kind: ErrorKind| {
        std::fs::write(path, bytes).unwrap();
        let error = log.get(made.with).unwrap_err();
        assert_eq!((error.kind(), error.file()), (kind, Some(&**path)), "{error}");
        assert!(
            Wal::open(tempfile::tempdir().unwrap().path(), config())
                .unwrap()
                .add_dictionary(bytes)
                .is_err()
        );
    };
    for byte in (0..64).chain((64..sound.len()).step_by(97)) {
        let mut bytes = sound.clone();
        bytes[byte] ^= 1 << (byte % 8);
        refused(&bytes, ErrorKind::Corrupt);
        refused(&sound[..byte], ErrorKind::Corrupt);
    }
    refused(&[&sound[..], b"more"].concat(), ErrorKind::Corrupt);
    refused(&vec![0; 3 << 20], ErrorKind::Corrupt);
    let mut newer = sound.clone();
    newer[12] = 2;
    let crc = crc32c::crc32c(&newer[12..]).to_le_bytes();
    newer[8..12].copy_from_slice(&crc);
    refused(&newer, ErrorKind::Unsupported);
    assert!(damage(&made).is_empty(), "what a newer version wrote is no damage");
    let verified = offline::verify(&made.target(), &mut |_| {}).unwrap();
    let told =
        |f: &offline::Finding| f.message().contains("use a newer walden; 301 records need it");
    assert!(verified.findings.iter().any(told), "{:?}", verified.findings);
    std::fs::write(path, &sound[..sound.len() - 1]).unwrap();
    only_its_entries(&made, |error| assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"));
    let damage = damage(&made);
    assert!(damage.len() == 1 && damage[0].contains("301 records need it"), "{damage:?}");
    // Another one under this name is none: it says who it is.
    let elsewhere = tempfile::tempdir().unwrap();
    let wal = Wal::open(elsewhere.path(), config()).unwrap();
    append(&wal, other, 3000);
    let stranger = wal.train_dictionary(SIZE).unwrap();
    std::fs::copy(&stranger.path, path).unwrap();
    assert_eq!(log.get(made.with).unwrap_err().kind(), ErrorKind::Corrupt);
    std::fs::write(path, &sound).unwrap();
    holds(made.path(), &made.all);
}

#[test]
fn copies_and_what_was_saved_have_them() {
    let made = Made::new();
    let out = tempfile::tempdir().unwrap();
    offline::copy(&made.target(), out.path().join("copy"), &mut |_| {}).unwrap();
    holds(&out.path().join("copy"), &made.all);
    let saved = offline::salvage(&made.target(), out.path().join("saved"), &mut |_| {}).unwrap();
    holds(&saved.runs[0].dir, &made.all);
}

#[test]
fn frames_are_taken_where_their_dictionary_is() {
    let made = Made::new();
    let source = Wal::open(made.path(), config()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let copy = Wal::open(dir.path(), Config::durable()).unwrap();
    while copy.next_seq() < made.with {
        let frames = source.frames(copy.next_seq(), 4000).unwrap().unwrap();
        if frames.seqs().end > made.with {
            break;
        }
        copy.append_frames(&frames).unwrap();
    }
    let frames = source.frames(copy.next_seq(), 1 << 20).unwrap().unwrap();
    let frames = Frames::from_bytes(frames.to_bytes()).unwrap();
    let before = copy.next_seq();
    let error = copy.append_frames(&frames).unwrap_err();
    assert_eq!((error.kind(), copy.next_seq()), (ErrorKind::MissingDictionary, before), "{error}");
    assert!(error.what_to_do().unwrap().contains(&made.dictionary.id.to_string()), "{error}");
    let file = source.dictionary(made.dictionary.id).unwrap();
    assert_eq!(copy.add_dictionary(&file).unwrap().id, made.dictionary.id);
    assert_eq!(copy.add_dictionary(&file).unwrap().id, made.dictionary.id, "twice is once");
    copy.append_frames(&frames).unwrap();
    copy.close().unwrap();
    drop(copy);
    holds(dir.path(), &made.all);
}

#[test]
fn a_cut_goes_through_a_batch() {
    let made = Made::new();
    let wal = Wal::open(made.path(), config()).unwrap();
    wal.truncate_back(wal.next_seq() - 11).unwrap();
    wal.close().unwrap();
    drop(wal);
    holds(made.path(), &made.all[..made.all.len() - 10]);
}

#[test]
fn what_no_record_needs_is_removed() {
    let made = Made::new();
    let wal = Wal::open(made.path(), config()).unwrap();
    wal.append_batch((0..4000).map(other)).unwrap();
    let unused = wal.train_dictionary(SIZE).unwrap();
    wal.append_batch((0..4000).map(|i| other(i * 7 + 1))).unwrap();
    let newest = wal.train_dictionary(2 * SIZE).unwrap();
    let locked = offline::prune_dictionaries(&made.target(), &mut |_| {}).unwrap_err();
    assert!(locked.is_locked(), "{locked}");
    wal.close().unwrap();
    drop(wal);
    assert_eq!(files(made.path()).len(), 3);
    // Where it cannot be told what is needed, nothing goes.
    let segment = made.path().join("segment-0000.wal");
    let sound = std::fs::read(&segment).unwrap();
    let mut damaged = sound.clone();
    damaged[100] ^= 1;
    std::fs::write(&segment, damaged).unwrap();
    let error = offline::prune_dictionaries(&made.target(), &mut |_| {}).unwrap_err();
    assert!(error.is_corruption() && files(made.path()).len() == 3, "{error}");
    std::fs::write(&segment, sound).unwrap();
    let pruned = offline::prune_dictionaries(&made.target(), &mut |_| {}).unwrap();
    assert_eq!((pruned.removed, pruned.kept), (vec![unused.path], 2));
    let mut stay = vec![made.dictionary.path.clone(), newest.path];
    stay.sort();
    assert_eq!(files(made.path()), stay);
    let log = LogReader::open(made.path()).unwrap();
    assert!(log.range(..).unwrap().all(|entry| entry.is_ok()));
}

#[test]
fn too_little_to_learn_from() {
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(dir.path(), config()).unwrap();
    for size in [0, 1023, (1 << 20) + 1, u64::MAX] {
        assert_eq!(wal.train_dictionary(size).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(wal.train_dictionary(SIZE).unwrap_err().kind(), ErrorKind::InvalidInput);
    append(&wal, line, 3);
    assert_eq!(wal.train_dictionary(SIZE).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(wal.dictionaries().unwrap().is_empty() && files(dir.path()).is_empty());
    append(&wal, line, 1000);
    wal.train_dictionary(SIZE).unwrap();
    let target = Target::on_disk(dir.path(), "segment");
    let locked = offline::train_dictionary(&target, SIZE, &mut |_| {}).unwrap_err();
    assert!(locked.is_locked(), "{locked}");
    wal.close().unwrap();
    drop(wal);
    let trained = offline::train_dictionary(&target, SIZE, &mut |_| {}).unwrap();
    assert_eq!(trained.samples, 1003);
}

/// All that the log has, in frames.
fn all_frames(reader: &LogReader) -> Vec<Frames> {
    let (mut at, mut all) = (reader.first_seq(), Vec::new());
    while at < reader.next_seq() {
        let frames = reader.frames(at, 10_000).unwrap().unwrap();
        at = frames.seqs().end;
        all.push(frames);
    }
    all
}

#[test]
fn frames_are_read_by_the_dictionaries_that_they_name() {
    const MOST: u64 = 1 << 20;
    let (made, stranger) = (Made::new(), other_dictionary());
    let reader = LogReader::open(made.path()).unwrap();
    let id = made.dictionary.id;
    let given = Dictionary::from_bytes(reader.dictionary(id).unwrap()).unwrap();
    assert_eq!(given.id(), id);
    let (mut read, mut asked) = (Vec::new(), 0);
    for frames in all_frames(&reader) {
        let needs = frames.seqs().end > made.with;
        assert_eq!(
            frames.dictionaries().into_iter().collect::<Vec<_>>(),
            [id][..usize::from(needs)]
        );
        let entries = frames.entries_with(MOST, |wanted| {
            asked += 1;
            assert_eq!(wanted, id);
            walden::Result::Ok(Some(given.clone()))
        });
        read.extend(entries.map(|entry| entry.unwrap().payload.to_vec()));
        // Without it, with another one, and where it cannot be had.
        let none = frames.entries(MOST).find_map(Result::err);
        let wrong = |_| walden::Result::Ok(Some(stranger.clone()));
        let wrong = frames.entries_with(MOST, wrong).find_map(Result::err);
        for error in [none, wrong] {
            assert_eq!(
                error.as_ref().map(walden::Error::kind),
                needs.then_some(ErrorKind::MissingDictionary)
            );
            assert!(error.is_none_or(|error| error.seq() >= Some(made.with)));
        }
        let gone = |_| Err(Box::<dyn std::error::Error>::from("gone"));
        let gone = frames.entries_with(MOST, gone).find_map(Result::err);
        assert_eq!(gone.map(|error| error.to_string()), needs.then(|| "gone".to_owned()));
    }
    assert_eq!(read, made.all);
    assert_eq!(asked, 301, "300 records of one entry, and a batch");
}

#[test]
fn a_batch_is_divided_by_its_dictionary() {
    const MOST: u64 = 1 << 20;
    let made = Made::new();
    let reader = LogReader::open(made.path()).unwrap();
    let given = Dictionary::from_bytes(reader.dictionary(made.dictionary.id).unwrap()).unwrap();
    let last = all_frames(&reader).pop().unwrap();
    let within = last.seqs().end - 15;
    let error = last.starting_at(within, MOST).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingDictionary);
    let rest = last.starting_at_with(within, MOST, |_| walden::Result::Ok(Some(given.clone())));
    let rest = rest.unwrap().unwrap();
    assert_eq!((rest.seqs(), rest.dictionaries().len()), (within..last.seqs().end, 0));
    let payloads: Vec<_> =
        rest.entries(MOST).map(|entry| entry.unwrap().payload.to_vec()).collect();
    assert_eq!(payloads, made.all[at(within)..]);
}

#[test]
fn what_is_no_dictionary_is_refused() {
    let made = Made::new();
    let good = std::fs::read(&made.dictionary.path).unwrap();
    assert!(Dictionary::from_bytes(&good).is_ok());
    for len in (0..good.len()).step_by(37) {
        assert_eq!(Dictionary::from_bytes(&good[..len]).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    for place in (0..40).chain((40..good.len()).step_by(37)) {
        let mut bad = good.clone();
        bad[place] ^= 1 << (place % 8);
        assert_eq!(Dictionary::from_bytes(&bad).unwrap_err().kind(), ErrorKind::Corrupt, "{place}");
    }
}

/// One of another log.
fn other_dictionary() -> Dictionary {
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(dir.path(), config()).unwrap();
    append(&wal, other, 2000);
    let made = wal.train_dictionary(SIZE).unwrap();
    Dictionary::from_bytes(wal.dictionary(made.id).unwrap()).unwrap()
}
