use super::*;
use crate::error::ErrorKind;
use crate::read::testing::{Dice, Fake, append_to, edit, payload};
use crate::record::encode;
use crate::segment::index::time as at_micros;

fn all(reader: &mut Reader) -> Vec<u64> {
    let mut seqs = Vec::new();
    while let Some(entry) = reader.read_next().unwrap() {
        assert_eq!(entry.payload, payload(entry.seq));
        seqs.push(entry.seq);
    }
    seqs
}

fn kind(reader: &mut Reader) -> ErrorKind {
    let error = reader.read_next().unwrap_err();
    let position = reader.position();
    assert_eq!(reader.read_next().unwrap_err().to_string(), error.to_string(), "stays there");
    assert_eq!(reader.position(), position);
    error.kind()
}

#[test]
fn backward_is_the_reverse_of_forward() {
    for per_segment in [1, 7, 100] {
        let fake = Fake::filled(400, per_segment);
        let mut reader = Reader::new(fake.view());
        assert_eq!(all(&mut reader), (1..=400).collect::<Vec<_>>());
        let mut back = Vec::new();
        while let Some(entry) = reader.read_prev().unwrap() {
            assert_eq!(entry.payload, payload(entry.seq));
            back.push(entry.seq);
        }
        back.reverse();
        assert_eq!(back, (1..=400).collect::<Vec<_>>());
        assert!(reader.read_prev().unwrap().is_none());
        assert_eq!(all(&mut reader), (1..=400).collect::<Vec<_>>());
    }
}

#[test]
fn seeks_anywhere_with_and_without_an_index() {
    let fake = Fake::filled(500, 90);
    let mut dice = Dice(7);
    for round in 0..2 {
        let mut reader = Reader::new(fake.view());
        for _ in 0..300 {
            let seq = 1 + dice.below(501);
            reader.seek(seq).unwrap();
            assert_eq!(reader.read_next().unwrap().map(|e| e.seq), (seq <= 500).then_some(seq));
            reader.seek(seq).unwrap();
            let before = seq - 1;
            assert_eq!(reader.read_prev().unwrap().map(|e| e.seq), (before > 0).then_some(before));
        }
        if round == 0 {
            fake.without_indexes();
        }
    }
}

#[test]
fn the_ends_are_told_apart() {
    let fake = Fake::filled(30, 10);
    let mut reader = Reader::new(fake.view());
    reader.seek(31).unwrap();
    let refreshed = fake.refreshed.load(crate::sync::Ordering::SeqCst);
    assert!(reader.read_next().unwrap().is_none());
    assert_eq!(fake.refreshed.load(crate::sync::Ordering::SeqCst), refreshed + 1);
    assert_eq!(reader.seek(32).unwrap_err().kind(), ErrorKind::BeyondEnd);
    assert_eq!(reader.position(), 31);
    fake.append();
    assert_eq!(reader.read_next().unwrap().map(|e| e.seq), Some(31));
    fake.truncate_front(15);
    assert_eq!(reader.seek(14).unwrap_err().kind(), ErrorKind::Removed);
    reader.seek(15).unwrap();
    assert!(reader.read_prev().unwrap().is_none());
    assert_eq!(reader.read_next().unwrap().map(|e| e.seq), Some(15));
    assert!(Reader::at(fake.view(), 3).unwrap_err().is_removed());
}

#[test]
fn removal_and_cuts_while_reading() {
    let fake = Fake::filled(60, 10);
    let mut early = Reader::at(fake.view(), 5).unwrap();
    let mut late = Reader::at(fake.view(), 50).unwrap();
    let mut edge = Reader::at(fake.view(), 31).unwrap();
    for reader in [&mut early, &mut late, &mut edge] {
        reader.read_next().unwrap();
    }
    edge.read_prev().unwrap();
    fake.truncate_front(12);
    assert_eq!(kind(&mut early), ErrorKind::Removed);
    assert!(early.read_prev().unwrap_err().is_removed());
    fake.cut(31);
    assert_eq!(kind(&mut late), ErrorKind::Truncated);
    assert_eq!(late.read_prev().unwrap_err().seq(), Some(31));
    // The entry before this position was not cut: what is appended now follows.
    assert!(edge.read_next().unwrap().is_none());
    fake.append();
    assert_eq!(edge.read_next().unwrap().map(|e| e.seq), Some(31));
    assert_eq!(edge.read_prev().unwrap().map(|e| e.seq), Some(31));
    assert_eq!(edge.read_prev().unwrap().map(|e| e.seq), Some(30));
    late.seek(31).unwrap();
    assert_eq!(late.read_next().unwrap().map(|e| e.seq), Some(31));
}

#[test]
fn every_flipped_byte_is_an_error_at_its_place_or_harmless() {
    let fake = Fake::new(1);
    for _ in 0..2 {
        fake.append_batch(3);
        fake.append();
        fake.append();
        fake.rotate();
    }
    let path = fake.path(0);
    let len = std::fs::read(&path).unwrap().len();
    for at in 0..len {
        edit(&path, |bytes| bytes[at] ^= 0x20);
        let mut reader = Reader::new(fake.view());
        let mut seen = 0;
        let failed = loop {
            match reader.read_next() {
                Ok(Some(entry)) => {
                    seen = entry.seq;
                    assert_eq!(entry.payload, payload(entry.seq));
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        match failed {
            // A footer: the entries are proved without it, in both directions.
            None => {
                assert_eq!(seen, 10);
                let mut back = (1..=10).rev();
                while let Some(entry) = reader.read_prev().unwrap() {
                    assert_eq!(Some(entry.seq), back.next());
                }
                assert_eq!(back.next(), None);
            }
            Some(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert_eq!(error.seq(), Some(seen + 1));
                assert_eq!(error.file(), Some(path.as_path()));
                assert!(error.offset().is_some_and(|offset| offset <= u64::try_from(at).unwrap()));
                assert!(error.what_to_do().unwrap().contains("walden verify"));
                assert_eq!(kind(&mut reader), ErrorKind::Corrupt);
                // What is behind it is read by seeking, and then backward up to the damage.
                reader.seek(6).unwrap();
                assert_eq!(reader.read_next().unwrap().map(|e| e.seq), Some(6));
            }
        }
        edit(&path, |bytes| bytes[at] ^= 0x20);
    }
}

#[test]
fn gaps_and_overlaps_between_segments_are_named() {
    for (skip, first, last) in [(2, 11, Some(12)), (-3, 11, None)] {
        let fake = Fake::new(1);
        (0..10).for_each(|_| _ = fake.append());
        fake.rotate();
        let seq = 11_u64.checked_add_signed(skip).unwrap();
        let mut bytes = Vec::new();
        encode(&mut bytes, seq, &[b"x"]);
        fake.put(&bytes, 11, 5);
        fake.without_indexes();
        let mut reader = Reader::at(fake.view(), 10).unwrap();
        reader.read_next().unwrap();
        let error = reader.read_next().unwrap_err();
        assert!(error.is_corruption(), "{error}");
        assert_eq!((error.seq(), error.offset()), (Some(first), Some(0)));
        assert_eq!(error.last_seq(), last);
        assert_eq!(error.file(), Some(fake.path(1).as_path()));
    }
}

#[test]
fn zeros_rests_and_missing_files_are_damage() {
    for rest in [&[0; 64][..], b"abc", &[0; 5]] {
        let fake = Fake::filled(20, 10);
        append_to(&fake.path(0), rest);
        let segment = Arc::clone(&fake.view().snapshot().segments[0]);
        segment.set_end(segment.end().unwrap() + u64::try_from(rest.len()).unwrap());
        let mut reader = Reader::at(fake.view(), 10).unwrap();
        assert_eq!(reader.read_next().unwrap().map(|e| e.seq), Some(10));
        assert_eq!(kind(&mut reader), ErrorKind::Corrupt);
    }
    let fake = Fake::filled(20, 10);
    std::fs::remove_file(fake.path(1)).unwrap();
    let mut reader = Reader::at(fake.view(), 11).unwrap();
    let error = reader.read_next().unwrap_err();
    assert!(error.is_corruption() && error.to_string().contains("missing"), "{error}");
    reader.seek(10).unwrap();
    assert_eq!(reader.read_next().unwrap().map(|e| e.seq), Some(10));
}

#[test]
fn losses_are_told_and_passed_by_seeking_only() {
    let fake = Fake::new(1);
    (0..100).for_each(|_| _ = fake.append());
    let index = fake.view().snapshot().segments[0].index(0).unwrap();
    let from = usize::try_from(index.entries[1].offset).unwrap();
    let to = usize::try_from(index.entries[2].offset).unwrap();
    edit(&fake.path(0), |bytes| bytes[from..to].fill(0xaa));
    fake.change(|list| list.losses.push((33, 64)));
    let mut reader = Reader::at(fake.view(), 32).unwrap();
    reader.read_next().unwrap();
    assert_eq!(kind(&mut reader), ErrorKind::Lost);
    let error = reader.read_next().unwrap_err();
    assert_eq!((error.seq(), error.last_seq()), (Some(33), Some(64)));
    for seq in [65, 66, 90, 100] {
        reader.seek(seq).unwrap();
        assert_eq!(reader.read_next().unwrap().map(|e| e.seq), Some(seq));
    }
    reader.seek(65).unwrap();
    assert_eq!(reader.read_prev().unwrap_err().kind(), ErrorKind::Lost);
}

#[test]
#[expect(clippy::big_endian_bytes, reason = "the format is the Go library's")]
fn what_this_build_cannot_read_is_named() {
    let flagged = |flags: u64| {
        let fake = Fake::new(1);
        fake.append();
        let mut bytes = Vec::new();
        encode(&mut bytes, 2, &[b"squeezed"]);
        let size = (8_u64 | flags).to_be_bytes();
        bytes[4..12].copy_from_slice(&size);
        let footer = bytes.len() - 8;
        bytes[footer..].copy_from_slice(&size);
        let crc = crc32c::crc32c(&bytes[4..footer]);
        bytes[..4].copy_from_slice(&crc.to_be_bytes());
        fake.put(&bytes, 2, 1);
        fake.append();
        fake
    };
    for (codec, feature, is_there) in [
        (1, "`snappy`", cfg!(feature = "snappy")),
        (2, "`zstd`", cfg!(feature = "zstd")),
        (3, "`lz4`", cfg!(feature = "lz4")),
    ] {
        let fake = flagged(codec << 56);
        let mut reader = Reader::at(fake.view(), 2).unwrap();
        // With the codec, it turns out that these bytes are not its output.
        let (expected, word) = match is_there {
            true => (ErrorKind::Corrupt, "compressed"),
            false => (ErrorKind::Unsupported, feature),
        };
        assert_eq!(kind(&mut reader), expected);
        let error = reader.read_next().unwrap_err();
        assert!(error.to_string().contains(word) && error.seq() == Some(2), "{error}");
        reader.seek(3).unwrap();
        assert_eq!(reader.read_next().unwrap().map(|e| e.seq), Some(3));
    }
    let fake = flagged(1 << 62);
    let mut reader = Reader::at(fake.view(), 2).unwrap();
    assert_eq!(kind(&mut reader), ErrorKind::Unsupported);
    assert!(reader.read_next().unwrap_err().to_string().contains("newer"));
}

#[test]
fn a_time_is_never_sought_too_late() {
    // Entry `seq` was appended at 1000·seq microseconds.
    let fake = Fake::new(1);
    for seq in 1..=300_u64 {
        fake.append();
        if seq % 70 == 0 {
            fake.rotate();
        }
    }
    for seq in 1..=300_u64 {
        let mut reader = Reader::new(fake.view());
        reader.seek_time(at_micros(seq * 1000)).unwrap();
        let position = reader.position();
        assert!(position <= seq && position + 32 >= seq, "{seq}: {position}");
    }
    let mut reader = Reader::new(fake.view());
    reader.seek_time(at_micros(u64::MAX / 2)).unwrap();
    assert!(reader.position() > 280);
    reader.seek_time(at_micros(0)).unwrap();
    assert_eq!(reader.position(), 1);
}

#[test]
fn large_records_and_long_runs() {
    let fake = Fake::new(1);
    for seq in 1..=40_u64 {
        let body = vec![u8::try_from(seq).unwrap(); if seq % 7 == 0 { 5 << 20 } else { 20_000 }];
        let mut bytes = Vec::new();
        encode(&mut bytes, seq, &[&body]);
        fake.put(&bytes, seq, 1);
    }
    let mut reader = Reader::new(fake.view());
    for seq in 1..=40 {
        let entry = reader.read_next().unwrap().unwrap();
        assert!(entry.seq == seq && entry.payload.iter().all(|b| u64::from(*b) == seq));
    }
    for seq in (1..=40).rev() {
        let entry = reader.read_prev().unwrap().unwrap();
        assert!(entry.seq == seq && entry.payload.iter().all(|b| u64::from(*b) == seq));
    }
}

/// All of a small log lies in the first window: what follows is about the step that asks no file.
fn three_entries() -> Arc<Fake> {
    let fake = Fake::new(1);
    for seq in 1..=3 {
        let mut bytes = Vec::new();
        encode(&mut bytes, seq, &[&payload(seq)]);
        fake.put_unsynced(&bytes, seq, 1);
    }
    fake
}

#[test]
fn what_lies_in_the_window_waits_for_its_level() {
    let fake = three_entries();
    fake.mark.raise_durable(2);
    let mut walk = Walk::new(fake.view(), 1);
    walk.set_level(crate::watermark::Level::Durable);
    assert!(walk.forward().unwrap());
    assert_eq!(walk.borrow(1, 2).unwrap(), payload(1));
    assert!(!walk.forward().unwrap(), "entry 2 is written, and not durable");
    fake.mark.raise_durable(3);
    assert!(walk.forward().unwrap());
}

#[test]
fn what_was_given_up_is_not_given_out_of_the_window() {
    let fake = three_entries();
    fake.change(|list| list.losses.push((2, 2)));
    let mut reader = Reader::new(fake.view());
    assert_eq!(reader.read_next().unwrap().map(|e| e.seq), Some(1));
    assert_eq!(kind(&mut reader), ErrorKind::Lost);
    reader.seek(3).unwrap();
    assert_eq!(reader.read_next().unwrap().map(|e| e.seq), Some(3));
}

#[test]
fn nothing_is_given_before_another_process_was_asked() {
    let fake = three_entries();
    let mut reader = Reader::new(fake.view());
    fake.out_of_reach.store(true, crate::sync::Ordering::SeqCst);
    assert_eq!(kind(&mut reader), ErrorKind::InvalidInput);
    fake.out_of_reach.store(false, crate::sync::Ordering::SeqCst);
    assert_eq!(all(&mut reader), [1, 2, 3]);
}
