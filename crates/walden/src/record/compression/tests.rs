use super::super::decode::{Decoded, decode};
use super::super::encode::encode_stored;
use super::super::layout::LEN_MASK;
use super::*;

const ALL: [Codec; 3] = [Codec::Snappy, Codec::Zstd, Codec::Lz4];

fn there() -> impl Iterator<Item = Codec> {
    ALL.into_iter().filter(|codec| codec.is_compiled_in())
}

/// The payload of the records in `docs/format.md`.
const EXAMPLE: &[u8] = b"walden walden walden walden walden walden walden walden walden!";

/// Those records, with seq id 1.
const GOLDEN: [(Codec, &str); 3] = [
    (
        Codec::Snappy,
        "7c7c6ee8 010000000000000e 0000000000000001 \
         3f 18 77616c64656e20 da0700 0021 \
         010000000000000e",
    ),
    (
        Codec::Zstd,
        "d4dd8a85 0200000000000017 0000000000000001 \
         28b52ffd 20 3f 750000 4077616c64656e202101 00d4598c \
         0200000000000017",
    ),
    (
        Codec::Lz4,
        "7c0d9a78 0300000000000016 0000000000000001 \
         3f000000 7f 77616c64656e20 0700 1f 60 616c64656e21 \
         0300000000000016",
    ),
];

/// The header of a record with this payload, but for its checksum, which is not asked for here.
fn header(flags: u64, stored: &[u8]) -> Header {
    Header { crc: 0, size: num::size(stored.len()) | flags, seq: 7 }
}

fn flags(codec: Codec) -> u64 {
    codec.number() << CODEC_SHIFT
}

fn at(codec: Codec, level: i32) -> How<'static> {
    How { codec, level, dictionary: None }
}

fn line(i: usize) -> Vec<u8> {
    format!("{{\"level\":\"info\",\"at\":{i},\"what\":\"a line as they are written\"}}")
        .into_bytes()
}

/// Bytes that no codec makes smaller.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(state >> 56).unwrap()
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn numbers_are_those_of_the_format() {
    for (codec, number) in ALL.into_iter().zip([1, 2, 3]) {
        assert_eq!((codec.number(), Codec::of(number)), (number, Some(codec)));
    }
    assert!([0, 4, 5, 6, 7].into_iter().all(|number| Codec::of(number).is_none()));
}

#[test]
fn what_goes_in_comes_out() {
    let (mut encoder, mut decoder, mut out) = (Encoder::default(), Decoder::new(), Vec::new());
    for codec in there() {
        for len in [65, 1000, 70_000, 3 << 20, 100] {
            let plain: Vec<u8> = (0..).flat_map(line).take(len).collect();
            let (front, back) = plain.split_at(len / 3);
            for parts in [&[&plain[..]][..], &[front, back]] {
                let Some(smaller) = encoder.single(at(codec, 3), parts) else {
                    assert!(len < 200, "{codec:?}: {len} bytes did not get smaller");
                    continue;
                };
                assert!(smaller.stored.len() < len);
                let header = header(smaller.flags, smaller.stored);
                assert_eq!((header.codec(), header.is_packed()), (codec.number(), false));
                assert_eq!(content_len(&header, smaller.stored), Ok(num::size(len)));
                decoder.content(&header, smaller.stored, None, MOST_CONTENT, &mut out).unwrap();
                assert!(out == plain, "{codec:?}: {len} bytes came out otherwise");
            }
            encoder.rest();
        }
    }
}

#[test]
fn a_batch_has_its_count_in_clear() {
    let mut encoder = Encoder::default();
    for codec in there() {
        let lines: Vec<Vec<u8>> =
            (0..40).map(|i| if i % 9 == 4 { vec![] } else { line(i) }).collect();
        let entries: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        let smaller = encoder.batch(at(codec, 1), &entries).unwrap();
        assert_eq!((smaller.count, &smaller.stored[..4]), (40, &[0, 0, 0, 40][..]));
        let mut record = Vec::new();
        encode_stored(&mut record, 7, &smaller);
        let Decoded::Record(record) = decode(&record) else { panic!("{codec:?}") };
        assert_eq!((record.count, record.next_seq()), (40, 47));
        let all = content(&record.header, record.stored, None, MOST_CONTENT).unwrap();
        for (i, entry) in (0..).zip(&entries) {
            assert_eq!(Packed::entry_behind(40, &all, i), Some(*entry), "{codec:?}");
        }
    }
}

#[test]
fn what_does_not_get_smaller_stays_as_it_is() {
    let mut encoder = Encoder::default();
    for codec in there() {
        for len in [0, 1, 20, 4000, 100_000] {
            assert!(encoder.single(at(codec, 3), &[&noise(len)]).is_none(), "{codec:?}: {len}");
        }
    }
}

#[test]
fn no_more_is_held_than_allowed() {
    let (mut encoder, mut decoder, mut out) = (Encoder::default(), Decoder::new(), Vec::new());
    for codec in there() {
        let zeros = vec![0; 8 << 20];
        let bomb = encoder.single(at(codec, 3), &[&zeros]).unwrap();
        let header = header(bomb.flags, bomb.stored);
        let len = num::size(zeros.len());
        let refused = decoder.content(&header, bomb.stored, None, len - 1, &mut out);
        assert_eq!(refused, Err(Unreadable::TooLong { len, most: len - 1 }), "{codec:?}");
        assert!(out.is_empty());
        decoder.content(&header, bomb.stored, None, len, &mut out).unwrap();
        assert!(out == zeros);
    }
}

/// Lengths that the codec cannot make of so few bytes.
#[test]
fn a_stated_length_is_not_believed() {
    for (codec, stored) in [
        (Codec::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0][..]),
        // A frame that states 4 GiB − 1 (single segment, eight bytes of length), and one empty last block.
        (
            Codec::Zstd,
            &[0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 0, 0][..],
        ),
        (Codec::Lz4, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0][..]),
    ] {
        let header = header(flags(codec), stored);
        let expected = match codec.is_compiled_in() {
            true => Unreadable::Malformed,
            false => Unreadable::Missing(codec),
        };
        assert_eq!(content(&header, stored, None, MOST_CONTENT), Err(expected), "{codec:?}");
    }
}

/// Every length and every bit: what comes out is never of another length than was stated.
#[test]
fn no_bytes_are_too_hostile() {
    let (mut encoder, mut decoder, mut out) = (Encoder::default(), Decoder::new(), Vec::new());
    let lines: Vec<Vec<u8>> = (0..6).map(line).collect();
    let entries: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
    for codec in there() {
        let single = encoder.single(at(codec, 3), &entries).unwrap().stored.to_vec();
        let batch = encoder.batch(at(codec, 3), &entries).unwrap();
        let (batch_flags, batch) = (batch.flags, batch.stored.to_vec());
        for (flags, sound) in [(flags(codec), single), (batch_flags, batch)] {
            let mut tried = Vec::new();
            tried.extend((0..sound.len()).map(|len| sound[..len].to_vec()));
            tried.extend((0..sound.len() * 8).map(|bit| {
                let mut flipped = sound.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                flipped
            }));
            tried.push([&sound[..], b"more"].concat());
            for stored in tried {
                let header = header(flags, &stored);
                assert_eq!(header.size & LEN_MASK, num::size(stored.len()));
                if decoder.content(&header, &stored, None, 1 << 20, &mut out).is_ok() {
                    let stated = content_len(&header, &stored).unwrap();
                    assert_eq!(num::size(out.len()) + clear(&header), stated, "{codec:?}");
                } else {
                    assert!(out.is_empty());
                }
            }
        }
    }
}

#[test]
fn a_batch_that_lies_is_malformed() {
    let mut encoder = Encoder::default();
    for codec in there() {
        // Offsets that fall, and that end too early, in front of bytes enough to be worth it.
        for ends in [[200, 100_u32], [50, 100], [0, 0]] {
            let mut rest: Vec<u8> = ends.iter().flat_map(|end| be32(*end)).collect();
            rest.extend(vec![b'x'; 150]);
            let stored = encoder.single(at(codec, 3), &[&rest]).unwrap().stored.to_vec();
            let stored = [&be32(2)[..], &stored].concat();
            let header = header(flags(codec) | PACKED, &stored);
            let told = content(&header, &stored, None, MOST_CONTENT);
            assert_eq!(told, Err(Unreadable::Malformed), "{codec:?} {ends:?}");
        }
    }
}

/// The records of `docs/format.md`: what was written once is read for ever.
#[test]
fn the_formats_own_examples() {
    for (codec, record) in GOLDEN {
        let digits: Vec<u8> = record.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
        let Decoded::Record(record) = decode(&bytes) else { panic!("{codec:?}") };
        assert!(record.footer_ok && record.seq() == 1 && record.len() == num::size(bytes.len()));
        assert_eq!(record.header.codec(), codec.number());
        match content(&record.header, record.stored, None, MOST_CONTENT) {
            Ok(payload) => assert_eq!(&payload[..], EXAMPLE, "{codec:?}"),
            Err(why) => assert_eq!(why, Unreadable::Missing(codec)),
        }
    }
}

/// Whatever its codec holds, and whether or not it is compiled in.
#[test]
fn a_batch_holds_no_more_entries_than_its_bytes_can_stand_for() {
    let possible = |codec: u64, count: u32| {
        let stored = [&be32(count)[..], &[7; 100]].concat();
        can_hold(&header(PACKED | codec << CODEC_SHIFT, &stored), &stored)
    };
    for (codec, most) in [(1, 104 * 22 / 4), (2, 104 * (32 << 10) / 4), (3, 104 * 255 / 4)] {
        assert!(possible(codec, 1) && possible(codec, most), "codec {codec}");
        assert!(!possible(codec, most + 1) && !possible(codec, u32::MAX), "codec {codec}");
        assert!(!possible(codec, 0), "codec {codec}");
    }
}
