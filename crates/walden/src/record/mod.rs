//! The bytes of a record: pure functions over slices, no I/O.
//!
//! A segment file is records back to back, with no file header. All integers are big-endian, except
//! inside a packed body's own payload, which is the user's. The same bytes as the Go library
//! `hungpdn/wal` writes, as long as no flag is set:
//!
//! ```text
//! offset 0        4         12        20              20+N      28+N
//!        +--------+---------+---------+---------------+---------+
//!        | CRC32C | Size    | SeqID   | Payload       | Size    |
//!        | u32    | u64     | u64     | N bytes       | u64     |
//!        +--------+---------+---------+---------------+---------+
//! ```
//!
//! The checksum (Castagnoli) covers Size, SeqID and Payload. The footer repeats Size exactly, which
//! makes reading backwards possible. In Size, bits 0–47 are the stored payload's length, bits 56–58 the
//! codec ([`compression`]), bit 59 says that the record holds a packed batch.

mod compression;
mod decode;
mod encode;
mod layout;
mod packed;

#[cfg(all(test, not(walden_model)))]
pub(crate) use compression::probe;
pub(crate) use compression::{
    Codec, Compressed, DICTIONARY_HEAD, DICTIONARY_MAGIC, DICTIONARY_VERSION, Decoder, Dictionary,
    Encoder, ForWriting, How, MOST_CONTENT, MOST_DICTIONARY, NoDictionary, Unreadable, can_hold,
    content, content_len, dictionary_of, train,
};
pub(crate) use decode::{Decoded, Fault, Record, decode, decode_plain};
pub(crate) use encode::{encode, encode_packed, encode_stored, frame, packed_body_len};
pub(crate) use layout::{
    CODEC_SHIFT, FOOTER_LEN, HEADER_LEN, Header, LEN_BITS, LEN_MASK, OVERHEAD, PACKED, footer,
    read_footer,
};
pub(crate) use packed::Packed;
