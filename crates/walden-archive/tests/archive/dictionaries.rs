//! Entries that were compressed with a dictionary of the log's own.

use std::collections::BTreeSet;

use walden::{Compression, Config, Wal};
use walden_archive::{Archiver, ArchiverOptions, Depth, ErrorKind, Until};

use crate::faulty::{Fault, Op};
use crate::support::{PREFIX, Place, archive, config, same};

fn compressed() -> Config {
    config().compression(Compression::Zstd { level: 3 })
}

/// A line as a service writes them.
fn line(i: u64) -> String {
    let mixed = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    format!(
        "{{\"time\":\"2026-11-26T01:{:02}:{:02}Z\",\"level\":\"info\",\"service\":\"orders\",\"method\":\"GET\",\
         \"path\":\"/api/v2/orders/{}\",\"status\":200,\"took_us\":{}}}",
        i / 60 % 60,
        i % 60,
        mixed % 100_000,
        mixed % 90_000
    )
}

/// Something else altogether.
fn row(i: u64) -> String {
    let mixed = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
    format!(
        "<row key='{mixed:x}'><name>customer number {i}</name><balance currency='EUR'>{}</balance>\
         <address><street>long street {}</street><city>somewhere</city></address></row>",
        mixed % 99_999,
        mixed % 99
    )
}

fn append(wal: &Wal, what: fn(u64) -> String, count: u64) {
    for i in 0..count {
        wal.append(what(i)).unwrap();
    }
    wal.sync().unwrap();
}

/// A log whose entries need one dictionary from 1001 on, and later another one; at its end a batch.
struct Made {
    place: Place,
    wal: Wal,
    /// Their names in the bucket.
    names: [String; 2],
}

const FIRST_NEEDED: u64 = 1001;
const LAST_BATCH: std::ops::Range<u64> = 3001..3031;

impl Made {
    fn new() -> Self {
        Self::in_place(Place::new())
    }

    fn in_place(place: Place) -> Self {
        let wal = Wal::open(place.dir.path().join("log"), compressed()).unwrap();
        append(&wal, line, 1000);
        let first = wal.train_dictionary(4 << 10).unwrap();
        append(&wal, line, 1000);
        // The second one comes after shipping began.
        let options = ArchiverOptions::default().tail(true).chunk_bytes(20_000);
        let mut archiver = Archiver::new(&place.archive, wal.clone(), options).unwrap();
        archiver.ship(&mut |_| {}).unwrap();
        append(&wal, row, 500);
        let second = wal.train_dictionary(4 << 10).unwrap();
        append(&wal, row, 500);
        assert_eq!(wal.append_batch((0..30).map(row)).unwrap(), LAST_BATCH);
        wal.sync().unwrap();
        archiver.ship(&mut |_| {}).unwrap();
        let names = [first.id, second.id].map(|id| format!("{PREFIX}/dictionaries/{id}.dict"));
        assert_ne!(names[0], names[1]);
        Self { place, wal, names }
    }

    fn damages(&self, depth: Depth) -> Vec<walden_archive::Error> {
        self.place.archive.verify(depth, &mut |_| {}).unwrap().damages
    }
}

#[test]
fn they_come_along_when_restoring() {
    let made = Made::new();
    let (_dir, restored) = made.place.restored(Until::End);
    same(&made.wal, &restored);
    let ids = |wal: &Wal| wal.dictionaries().unwrap().iter().map(|d| d.id).collect::<BTreeSet<_>>();
    assert_eq!(ids(&restored), ids(&made.wal));
    // What is not needed is not fetched.
    let (_dir, restored) = made.place.restored(Until::Seq(FIRST_NEEDED - 1));
    assert_eq!(ids(&restored).len(), 0);
    // Within a batch that needs one, and on from there.
    let (dir, restored) = made.place.restored(Until::Seq(LAST_BATCH.start + 9));
    drop(restored);
    made.place.archive.restore(dir.path(), config(), Until::End, &mut |_| {}).unwrap();
    let on = Wal::open(dir.path(), config()).unwrap();
    assert_eq!(on.digest(..).unwrap(), made.wal.digest(..).unwrap());
}

#[test]
fn entries_are_read_without_a_log() {
    let made = Made::new();
    let (fetched, count) = std::sync::mpsc::channel();
    made.place.bucket.fail(move |_, op, name| {
        if op == Op::Get && name.contains("dictionaries") {
            fetched.send(name.to_owned()).unwrap();
        }
        None
    });
    let mut reader = made.place.archive.reader(None, 0).unwrap();
    for entry in made.wal.range(..).unwrap() {
        assert_eq!(reader.read_next().unwrap().unwrap(), entry.unwrap());
    }
    assert!(reader.read_next().unwrap().is_none());
    // One of a batch, and one of each dictionary by turns.
    for seq in [3017, 1500, 2700, 1001, 7, 3030] {
        assert_eq!(reader.get(seq).unwrap(), made.wal.get(seq).unwrap());
    }
    assert_eq!(count.try_iter().collect::<Vec<_>>(), made.names, "each is fetched once");
    let verified = made.place.sound();
    assert_eq!((verified.dictionaries, verified.next_seq), (2, LAST_BATCH.end));
}

#[test]
fn one_that_is_missing_or_unsound_is_named() {
    let made = Made::new();
    let name = &made.names[0];
    let short = name.strip_prefix(&format!("{PREFIX}/")).unwrap();
    let good = made.place.bucket.bytes(name);
    let mut flipped = good.clone();
    flipped[200] ^= 1;
    let bad = [
        None,
        Some(Vec::new()),
        Some(good[..good.len() / 2].to_vec()),
        Some(flipped),
        Some(made.place.bucket.bytes(&made.names[1])),
        Some(vec![0; 3 << 20]),
    ];
    for bad in bad {
        match bad {
            None => made.place.bucket.remove(name),
            Some(bytes) => made.place.bucket.set(name, bytes),
        }
        let mut reader = made.place.archive.reader(None, 0).unwrap();
        reader.seek(FIRST_NEEDED - 1).unwrap();
        assert!(reader.read_next().unwrap().is_some(), "those before need none");
        for _ in 0..2 {
            let error = reader.read_next().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert_eq!((error.object_name(), error.seq()), (Some(short), Some(FIRST_NEEDED)));
        }
        reader.seek(2900).unwrap();
        assert!(reader.read_next().unwrap().is_some(), "nor do those with the other one");

        assert_eq!(made.damages(Depth::Listed).len(), 0);
        let damages = made.damages(Depth::Read);
        assert_eq!(damages.len(), 1, "{damages:?}");
        assert_eq!(damages[0].object_name(), Some(short));
        assert!((FIRST_NEEDED - 300..=FIRST_NEEDED).contains(&damages[0].seq().unwrap()));

        let dir = tempfile::tempdir().unwrap();
        let restore = || made.place.archive.restore(dir.path(), config(), Until::End, &mut |_| {});
        let error = restore().unwrap_err();
        assert_eq!((error.kind(), error.object_name()), (ErrorKind::Corrupt, Some(short)));

        made.place.bucket.set(name, good.clone());
        reader.seek(FIRST_NEEDED).unwrap();
        assert_eq!(reader.read_next().unwrap(), made.wal.get(FIRST_NEEDED).unwrap());
        assert_eq!(restore().unwrap().next_seq, LAST_BATCH.end, "the same call goes on");
        assert_eq!(made.damages(Depth::Read).len(), 0);
    }
}

#[test]
fn one_that_nobody_needs_is_in_nobodys_way() {
    let made = Made::new();
    made.place.bucket.set(&format!("{PREFIX}/dictionaries/77777.dict"), b"something".to_vec());
    made.place.bucket.set(&format!("{PREFIX}/dictionaries/notes.txt"), b"something".to_vec());
    assert_eq!(made.place.sound().dictionaries, 2);
    same(&made.wal, &made.place.restored(Until::End).1);
}

/// The next try, or the next archiver, finds half of one under its name.
#[test]
fn half_of_one_is_made_whole() {
    let mut place = Place::new();
    place.archive = archive(&place.bucket, 3);
    let mut failed = 0;
    place.bucket.fail(move |_, op, name| {
        let fails = op == Op::Put && name.contains("dictionaries") && failed < 2;
        failed += u64::from(fails);
        fails.then_some(Fault::Half)
    });
    let made = Made::in_place(place);
    made.place.bucket.heal();
    assert_eq!(made.place.sound().dictionaries, 2);
    same(&made.wal, &made.place.restored(Until::End).1);
    let good = made.place.bucket.bytes(&made.names[1]);
    made.place.bucket.set(&made.names[1], good[..good.len() / 2].to_vec());
    made.place.bucket.remove(&made.names[0]);
    assert_eq!(made.damages(Depth::Read).len(), 2);
    append(&made.wal, row, 1);
    made.place.ship(&made.wal);
    assert_eq!(made.damages(Depth::Read).len(), 0);
    assert_eq!(made.place.bucket.bytes(&made.names[1]), good);
}

/// In the log itself, a file that cannot be a dictionary and that no entry needs.
#[test]
fn an_unsound_one_that_no_entry_needs_does_not_stop_shipping() {
    let made = Made::new();
    let unsound = made.place.dir.path().join("log").join("segment-77777.dict");
    std::fs::write(unsound, b"not a dictionary").unwrap();
    made.wal.dictionaries().unwrap_err();
    append(&made.wal, row, 100);
    made.place.ship(&made.wal);
    assert_eq!(made.place.sound().dictionaries, 2);
    made.place.bucket.names(PREFIX).iter().for_each(|name| made.place.bucket.remove(name));
    made.place.ship(&made.wal);
    assert_eq!(made.place.sound().dictionaries, 2);
    same(&made.wal, &made.place.restored(Until::End).1);
}
