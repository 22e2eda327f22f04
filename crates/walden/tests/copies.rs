//! Copies that begin or end where frames do not: inside of a batch, or where the source forgot its history.
#![expect(
    clippy::big_endian_bytes,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail the test"
)]

use std::path::Path;

use walden::{Compression, Config, ErrorKind, Frames, Wal};

fn open(dir: &Path) -> Wal {
    Wal::open(dir, Config::durable()).unwrap()
}

fn line(seq: u64) -> Vec<u8> {
    format!("{{\"seq\":{seq},\"path\":\"/a/path/that/is/asked/for\"}}").into_bytes()
}

/// Entries up to `last`, one by one.
fn fill(wal: &Wal, last: u64) {
    while wal.next_seq() <= last {
        wal.append(line(wal.next_seq())).unwrap();
    }
}

fn entries(wal: &Wal) -> Vec<(u64, Vec<u8>)> {
    wal.range(..).unwrap().map(|e| e.map(|e| (e.seq, e.payload.to_vec())).unwrap()).collect()
}

/// Over the wire, all there is.
fn ship(source: &Wal, copy: &Wal) -> walden::Result<()> {
    while let Some(frames) = source.frames(copy.next_seq(), 200)? {
        copy.append_frames(&Frames::from_bytes(frames.to_bytes()).unwrap())?;
    }
    Ok(())
}

/// No compression, and each codec that this build has.
fn codecs() -> impl Iterator<Item = Compression> {
    let all = [Compression::Snappy, Compression::Zstd { level: 1 }, Compression::Lz4];
    std::iter::once(Compression::None).chain(all.into_iter().filter(|codec| codec.is_available()))
}

/// The source removed the beginning of a batch, and hands it out all the same: the copy begins in the middle of it.
#[test]
fn a_copy_that_begins_in_a_batch_takes_the_rest_of_it() {
    for codec in codecs() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::durable().compression(codec);
        let source = Wal::open(dir.path().join("a"), config).unwrap();
        fill(&source, 2);
        source.append_batch((3..8).map(line)).unwrap();
        fill(&source, 10);
        source.truncate_front(5).unwrap();
        assert_eq!(source.frames(5, 1).unwrap().unwrap().seqs(), 3..8);

        let copy = open(&dir.path().join("b"));
        copy.reset(5).unwrap();
        ship(&source, &copy).unwrap();
        assert_eq!(entries(&copy), entries(&source), "{codec:?}");
        let again = source.frames(5, 1 << 20).unwrap().unwrap();
        assert_eq!(copy.append_frames(&again).unwrap(), 11..11, "the same, stored otherwise");
        // Cut where the batch goes on.
        copy.truncate_back(5).unwrap();
        ship(&source, &copy).unwrap();
        assert_eq!(entries(&copy), entries(&source), "{codec:?}");
        copy.close().unwrap();
        assert_eq!(entries(&open(&dir.path().join("b"))), entries(&source));

        // What it has of it is compared.
        let other = open(&dir.path().join("c"));
        other.reset(5).unwrap();
        other.append_frames(&again.within(5..6).unwrap()).unwrap();
        other.truncate_back(4).unwrap();
        other.append("another 5").unwrap();
        assert_eq!(other.append_frames(&again).unwrap_err().kind(), ErrorKind::Diverged);
    }
}

/// A source whose first ten entries were written before it was opened again, and its copy, which has those.
fn opened_again(dir: &Path) -> (Wal, Wal) {
    let (source, copy) = (open(&dir.join("a")), open(&dir.join("b")));
    fill(&source, 10);
    ship(&source, &copy).unwrap();
    source.close().unwrap();
    let source = open(&dir.join("a"));
    fill(&source, 20);
    (source, copy)
}

/// Nobody knows whether the source was cut in between: neither taken, nor said to be another history.
#[test]
fn what_the_source_removed_with_its_history_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (source, copy) = opened_again(dir.path());
    let known = source.frames(1, 1 << 20).unwrap().unwrap().epochs();
    source.truncate_front(11).unwrap();
    source.close().unwrap();
    let source = open(&dir.path().join("a"));
    let before = entries(&copy);
    let told = ship(&source, &copy).unwrap_err();
    assert_eq!((told.kind(), told.seq()), (ErrorKind::Removed, Some(10)), "{told}");
    assert!(told.to_string().contains("reset(11)"), "{told}");
    assert!(!told.to_string().contains("truncate_back"), "{told}");
    assert_eq!(entries(&copy), before);
    // Who has kept the history elsewhere gives it along: what is known here is not written over by it.
    let frames = source.frames(11, 1 << 20).unwrap().unwrap();
    let (own, whole) = (frames.epochs(), frames.clone().with_older_epochs(&known));
    assert_eq!(whole.epochs(), known);
    assert_eq!(whole.clone().with_older_epochs(&[(3, 7), (11, 8)]).epochs(), known);
    let many: Vec<_> = (1..=10).map(|seq| (seq, u128::from(seq))).collect();
    assert_eq!(frames.with_older_epochs(&many).epochs(), [many, own].concat());
    let third = open(&dir.path().join("c"));
    ship(&copy, &third).unwrap();
    third.append_frames(&whole).unwrap();
    assert_eq!(third.next_seq(), source.next_seq());
    // What it has of its own behind them is another history, and nothing before.
    fill(&copy, 15);
    let told = copy.append_frames(&source.frames(11, 1 << 20).unwrap().unwrap()).unwrap_err();
    assert_eq!((told.kind(), told.seq()), (ErrorKind::Diverged, Some(11)), "{told}");
    copy.reset(11).unwrap();
    ship(&source, &copy).unwrap();
    assert_eq!(entries(&copy), entries(&source));
}

#[test]
fn what_a_source_merged_is_told_and_can_be_taken_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut source, copy) = opened_again(dir.path());
    for last in 21..100 {
        source.close().unwrap();
        source = open(&dir.path().join("a"));
        fill(&source, last);
    }
    let told = ship(&source, &copy).unwrap_err();
    assert_eq!((told.kind(), told.seq()), (ErrorKind::Diverged, Some(1)), "{told}");
    assert!(told.to_string().contains("merged"), "{told}");
    copy.truncate_back(0).unwrap();
    ship(&source, &copy).unwrap();
    assert_eq!(entries(&copy), entries(&source));
}

/// An epoch stands for one unforked run, wherever a copy begins in it.
#[test]
fn a_run_goes_on_from_a_copy_that_has_only_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let [source, late, copy] = ["a", "b", "c"].map(|name| open(&dir.path().join(name)));
    fill(&source, 40);
    late.reset(30).unwrap();
    ship(&source, &late).unwrap();
    let all = source.frames(1, 1 << 20).unwrap().unwrap();
    copy.append_frames(&all.within(1..30).unwrap()).unwrap();
    ship(&late, &copy).unwrap();
    assert_eq!(entries(&copy), entries(&source));
}

/// Frames whose only record says that it has another number of entries, every checksum put right.
fn recounted(frames: &Frames, change: impl FnOnce(u32) -> u32) -> Vec<u8> {
    let mut bytes = frames.to_bytes();
    let epochs = u32::from_le_bytes(bytes[48..52].try_into().unwrap()) as usize;
    let at = 64 + 24 * epochs;
    let len = u64::from_be_bytes(bytes[at + 4..at + 12].try_into().unwrap()) as usize & 0xffff_ffff;
    let count = u32::from_be_bytes(bytes[at + 20..at + 24].try_into().unwrap());
    let count = change(count);
    bytes[at + 20..at + 24].copy_from_slice(&count.to_be_bytes());
    let seq = u64::from_le_bytes(bytes[32..40].try_into().unwrap());
    bytes[40..48].copy_from_slice(&(seq + u64::from(count)).to_le_bytes());
    let crc = crc32c::crc32c(&bytes[at + 4..at + 20 + len]);
    bytes[at..at + 4].copy_from_slice(&crc.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// A compressed batch under sound checksums that does not hold as many entries as it says.
#[test]
fn a_compressed_batch_that_lies_is_not_taken() {
    for codec in codecs().filter(|codec| *codec != Compression::None) {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::durable().compression(codec);
        let source = Wal::open(dir.path().join("a"), config).unwrap();
        source.append_batch((1..21).map(line)).unwrap();
        let frames = source.frames(1, 1 << 20).unwrap().unwrap();
        let copy = open(&dir.path().join("b"));
        for change in [|count| count + 1, |count: u32| count - 1] {
            let forged = Frames::from_bytes(recounted(&frames, change)).unwrap();
            let refused = copy.append_frames(&forged).unwrap_err();
            assert!(refused.is_corruption(), "{codec:?}: {refused}");
            assert_eq!(refused.seq(), Some(1), "{codec:?}: {refused}");
            assert!(copy.is_empty() && copy.next_seq() == 1);
        }
        let forged = Frames::from_bytes(recounted(&frames, |_| u32::MAX)).unwrap();
        let refused = copy.append_frames(&forged).unwrap_err();
        assert!(refused.is_corruption(), "{codec:?}: {refused}");
        copy.append_frames(&Frames::from_bytes(recounted(&frames, |count| count)).unwrap())
            .unwrap();
        assert_eq!(entries(&copy), entries(&source));
    }
}

/// The same where the codec need not even be there: four billion entries are more than so few bytes can stand for.
#[test]
fn a_compressed_batch_of_impossible_many_entries_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let source = open(&dir.path().join("a"));
    source.append_batch((1..21).map(line)).unwrap();
    let frames = source.frames(1, 1 << 20).unwrap().unwrap();
    let copy = open(&dir.path().join("b"));
    for codec in 1..=3_u8 {
        let mut bytes = recounted(&frames, |_| u32::MAX);
        let at = 64 + 24 * u32::from_le_bytes(bytes[48..52].try_into().unwrap()) as usize;
        let end = bytes.len();
        for size in [at + 4, end - 8] {
            bytes[size] |= codec;
        }
        let crc = crc32c::crc32c(&bytes[at + 4..end - 8]);
        bytes[at..at + 4].copy_from_slice(&crc.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        let forged = Frames::from_bytes(bytes).unwrap();
        assert_eq!(forged.seqs().end, 1 + u64::from(u32::MAX));
        let refused = copy.append_frames(&forged).unwrap_err();
        assert!(refused.is_corruption(), "codec {codec}: {refused}");
        assert!(copy.is_empty() && copy.next_seq() == 1);
    }
}
