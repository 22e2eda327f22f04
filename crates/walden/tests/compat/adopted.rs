//! A log that was Go's and then ours stays one that Go's format describes: read by a decoder that shares
//! nothing with the library.

use crate::engine::over;
use walden::{BatchFormat, Config, SyncStrategy, Wal};

use crate::decoder;
use crate::vectors::{Vector, pat, sha256};

const OPENABLE: [&str; 8] = [
    "basic",
    "empty",
    "rotated",
    "large",
    "truncated-front",
    "torn-tail",
    "torn-header",
    "zero-tail",
];

/// Opens, appends in several ways, cuts, closes; then the decoder reads every byte of every segment: it
/// knows neither flags nor free space, so none may be there.
fn goes_on(name: &'static str, strategy: SyncStrategy, rounds: u64) {
    let vector = Vector::load(name);
    let dir = vector.copy();
    let mut expected: Vec<(u64, String)> =
        vector.sound().into_iter().map(|record| (record.seq, record.sha256)).collect();
    let config = over(Config::durable())
        .sync_strategy(strategy)
        .segment_size(vector.segment_size.min(64 << 10))
        .batch_format(BatchFormat::Separate);
    for round in 0..rounds {
        let wal = Wal::open(dir.path(), config.clone()).unwrap();
        for i in 0..40 {
            let payload = pat(round * 1000 + i, i * 13);
            let seq = wal.append(&payload).unwrap();
            expected.push((seq, sha256(&payload)));
        }
        let batch: Vec<_> = (0..5).map(|i| pat(i, 900)).collect();
        let seqs = wal.append_batch(&batch).unwrap();
        expected.extend(seqs.zip(batch.iter().map(|payload| sha256(payload))));
        if round == 1 {
            let last = wal.next_seq() - 11;
            wal.truncate_back(last).unwrap();
            expected.truncate(expected.len() - 10);
            let seq = wal.append(b"after the cut").unwrap();
            assert_eq!(seq, last + 1);
            expected.push((seq, sha256(b"after the cut")));
        }
        wal.close().unwrap();
        let found: Vec<(u64, String)> = decoder::entries(dir.path())
            .into_iter()
            .map(|(seq, payload)| (seq, sha256(&payload)))
            .collect();
        assert!(found == expected, "{name} {strategy:?}: round {round}");
    }
}

#[test]
fn durable_appends() {
    for name in OPENABLE {
        goes_on(name, SyncStrategy::Always, 2);
    }
}

#[test]
fn appends_to_the_kernel_and_to_memory() {
    for name in OPENABLE {
        goes_on(name, SyncStrategy::OsCache, 3);
        goes_on(name, SyncStrategy::Background, 3);
    }
}

/// What `truncate_front` leaves in the first segment is still there for a reader of the bytes: whole
/// segments go, never parts.
#[test]
fn whole_segments_go_in_front() {
    let vector = Vector::load("rotated");
    let dir = vector.copy();
    let wal = Wal::open(dir.path(), vector.config()).unwrap();
    wal.truncate_front(300).unwrap();
    assert_eq!(wal.first_seq(), 300);
    wal.close().unwrap();
    let front = Vector::load("truncated-front");
    assert_eq!(decoder::entries(dir.path()), decoder::entries(&front.log()), "as Go leaves it");
}
