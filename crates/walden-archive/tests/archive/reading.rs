//! From the bucket into the log, without a seam.

use walden::offline::Donor as _;
use walden::{LogReader, Retention};
use walden_archive::{ArchiveReader, Archiver, ErrorKind, Source, Until};

use crate::faulty::{Fault, Op};
use crate::support::{Place, entry, fill, open, options, settle};

/// Bytes of objects kept in memory.
const CACHE: u64 = 3_000;

fn all(reader: &mut ArchiveReader) -> Vec<u64> {
    let mut seqs = Vec::new();
    while let Some(read) = reader.read_next().unwrap() {
        assert_eq!(read.payload, entry(read.seq).as_bytes());
        seqs.push(read.seq);
    }
    seqs
}

#[test]
fn entries_that_the_log_removed_come_from_the_bucket() {
    let (place, wal) = Place::with_entries(300);
    let mut archiver = place.ship(&wal);
    settle(&wal);
    wal.retain(&Retention::keep_all().max_segments(1)).unwrap();
    assert!(wal.first_seq() > 200);
    fill(&wal, 320);
    let log = LogReader::open(place.dir.path().join("log")).unwrap();
    for source in [Source::from(wal.clone()), Source::from(log)] {
        let mut reader = place.archive.reader(Some(source), CACHE).unwrap();
        assert!(all(&mut reader).into_iter().eq(1..320), "shipped or not");
        for seq in [150, 1, 319, 151, 299] {
            assert_eq!(reader.get(seq).unwrap().unwrap().payload, entry(seq).as_bytes());
        }
        assert_eq!(reader.position(), 320, "getting moves nothing");
        assert!(reader.get(320).unwrap().is_none());
        reader.seek(37).unwrap();
        assert!(all(&mut reader).into_iter().eq(37..320), "from the middle of a batch");
        for outside in [0, 321] {
            assert_eq!(reader.seek(outside).unwrap_err().kind(), ErrorKind::OutOfRange);
        }
    }
    // What comes next is read, from the log at first.
    let mut reader = place.archive.reader(Some(wal.clone().into()), CACHE).unwrap();
    reader.seek(315).unwrap();
    assert!(all(&mut reader).into_iter().eq(315..320));
    fill(&wal, 330);
    assert!(all(&mut reader).into_iter().eq(320..330));
    // Retention overtakes it, and the archive has them.
    reader.seek(310).unwrap();
    archiver.ship(&mut |_| {}).unwrap();
    wal.truncate_front(330).unwrap();
    assert!(all(&mut reader).into_iter().eq(310..330));
}

#[test]
fn without_a_log() {
    let (place, wal) = Place::with_entries(100);
    let mut archiver = place.ship(&wal);
    let mut reader = place.archive.reader(None, 0).unwrap();
    assert!(all(&mut reader).into_iter().eq(1..100));
    fill(&wal, 120);
    archiver.ship(&mut |_| {}).unwrap();
    assert!(all(&mut reader).into_iter().eq(100..120), "what was shipped since");
}

#[test]
fn an_object_is_fetched_once_while_it_is_in_the_cache() {
    let (place, wal) = Place::with_entries(100);
    place.ship(&wal);
    let mut reader = place.archive.reader(None, CACHE).unwrap();
    place.bucket.fail(|_, _, _| None);
    for seq in [50, 51, 50, 52, 51] {
        reader.get(seq).unwrap();
    }
    assert!(place.bucket.calls() <= 2, "{}", place.bucket.calls());
}

#[test]
fn a_gap_between_the_two_is_told() {
    let (place, wal) = Place::with_entries(100);
    place.ship(&wal);
    fill(&wal, 200);
    wal.truncate_front(150).unwrap();
    let mut reader = place.archive.reader(Some(wal.into()), CACHE).unwrap();
    reader.seek(99).unwrap();
    assert!(reader.read_next().unwrap().is_some());
    let gap = reader.read_next().unwrap_err();
    assert_eq!((gap.kind(), gap.seq()), (ErrorKind::Gap, Some(100)));
}

#[test]
fn a_log_of_another_history_is_not_gone_on_into() {
    let (place, wal) = Place::with_entries(100);
    place.ship(&wal);
    let (_dir, forked) = place.restored(Until::Seq(60));
    forked.truncate_front(40).unwrap();
    fill(&forked, 90);
    let mut reader = place.archive.reader(Some(forked.into()), CACHE).unwrap();
    reader.seek(61).unwrap();
    assert_eq!(reader.read_next().unwrap_err().kind(), ErrorKind::Diverged);
    let dir = tempfile::tempdir().unwrap();
    let stranger = open(dir.path());
    fill(&stranger, 50);
    let mut reader = place.archive.reader(Some(stranger.into()), CACHE).unwrap();
    assert_eq!(reader.read_next().unwrap_err().kind(), ErrorKind::Diverged);
}

/// What was read is cut, and the archive follows: what comes next is of another history, and there is a seam.
#[test]
fn a_cut_behind_the_reader_is_told() {
    for (log, cache) in [(false, 0), (false, CACHE), (true, CACHE)] {
        let (place, wal) = Place::with_entries(100);
        place.ship(&wal);
        let source = log.then(|| Source::from(wal.clone()));
        let mut reader = place.archive.reader(source, cache).unwrap();
        assert!(all(&mut reader).into_iter().eq(1..100));
        wal.truncate_back(49).unwrap();
        (50..130).for_each(|seq| _ = wal.append(format!("another {seq}")).unwrap());
        wal.sync().unwrap();
        let cuts = options().follow_cuts(true);
        let mut archiver = Archiver::new(&place.archive, wal.clone(), cuts).unwrap();
        archiver.ship(&mut |_| {}).unwrap();
        for _ in 0..2 {
            let parted = reader.read_next().unwrap_err();
            assert_eq!((parted.kind(), parted.seq()), (ErrorKind::Diverged, Some(50)), "{parted}");
        }
        reader.seek(48).unwrap();
        for seq in 48..130 {
            let other = format!("another {seq}");
            let wanted = if seq < 50 { entry(seq) } else { other };
            assert_eq!(reader.read_next().unwrap().unwrap().payload, wanted.as_bytes(), "{log}");
        }
        // What is cut behind the position is none of its affair.
        wal.truncate_back(140.min(wal.next_seq() - 1)).unwrap();
        fill(&wal, 150);
        archiver.ship(&mut |_| {}).unwrap();
        assert!(all(&mut reader).into_iter().eq(130..150));
    }
}

#[test]
fn it_stays_where_it_is_after_a_failure() {
    let (place, wal) = Place::with_entries(100);
    place.ship(&wal);
    let mut reader = place.archive.reader(None, CACHE).unwrap();
    reader.seek(40).unwrap();
    place.bucket.fail(|_, op, _| (op == Op::Get).then_some(Fault::Refused));
    assert_eq!(reader.read_next().unwrap_err().kind(), ErrorKind::Store);
    place.bucket.heal();
    assert!(all(&mut reader).into_iter().eq(40..100));
}

/// The archive was cut within a batch: what comes before that batch is sound, and the batch is none of it.
#[test]
fn a_donor_gives_what_comes_before_a_cut() {
    let place = Place::new();
    let wal = place.open();
    fill(&wal, 5);
    wal.append_batch((5..12).map(entry)).unwrap();
    wal.sync().unwrap();
    let all = options().chunk_bytes(1 << 20);
    Archiver::new(&place.archive, wal.clone(), all.clone()).unwrap().ship(&mut |_| {}).unwrap();
    wal.truncate_back(8).unwrap();
    fill(&wal, 20);
    let mut archiver = Archiver::new(&place.archive, wal, all.follow_cuts(true)).unwrap();
    archiver.ship(&mut |_| {}).unwrap();
    let donor = place.archive.donor().unwrap();
    let given = |from| donor.frames(from, 1 << 20).unwrap().map(|frames| frames.seqs());
    assert_eq!((given(1), given(3), given(4)), (Some(1..5), Some(3..5), Some(4..5)));
    for of_batch in 5..9 {
        assert_eq!(given(of_batch), None);
    }
    assert_eq!(given(9), Some(9..20));
}
