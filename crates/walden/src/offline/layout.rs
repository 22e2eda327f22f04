//! The format's constants as a table. The golden file that it is compared with is the format's guard: if it
//! differs, that is a change of the format.

use crate::cursors::slot;
use crate::manifest::{
    BLOCK_LEN, FILE_LEN, MAGIC, MARK_LEN, MARK_MAGIC, MAX_EPOCHS, MAX_LOSSES, MAX_META, VERSION,
};
use crate::record::{
    CODEC_SHIFT, DICTIONARY_HEAD, DICTIONARY_MAGIC, DICTIONARY_VERSION, FOOTER_LEN, HEADER_LEN,
    LEN_BITS, MOST_DICTIONARY, OVERHEAD, PACKED,
};
use crate::segment::index;

/// A field's length where it depends on what is in it.
const VARIES: usize = 0;

struct Table(String);

impl Table {
    fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    /// Fields back to back, from offset 0; the last may have any length.
    fn fields(&mut self, title: &str, fields: &[(usize, &str)]) -> usize {
        self.line("");
        self.line(title);
        let mut offset = 0;
        let mut fixed = true;
        for (len, name) in fields {
            let at = if fixed { offset.to_string() } else { "-".into() };
            let size = if *len == VARIES { "var".into() } else { len.to_string() };
            self.line(&format!("  {at:>5}  {size:>5}  {name}"));
            offset += len;
            fixed &= *len != VARIES;
        }
        offset
    }
}

/// Offset, size and name of every field of the format, for `walden inspect --layout`.
#[must_use]
pub fn layout() -> String {
    let mut table = Table(String::new());
    table.line("offset   size  field");
    record(&mut table);
    manifest(&mut table);
    mark(&mut table);
    index_file(&mut table);
    cursors(&mut table);
    dictionary(&mut table);
    table.0
}

fn record(table: &mut Table) {
    table.fields(
        "record (big-endian), back to back from offset 0 of a segment",
        &[
            (4, "CRC32C of size, seq id and payload"),
            (8, "size"),
            (8, "seq id of the first entry"),
            (VARIES, "payload, N bytes"),
            (8, "size again"),
        ],
    );
    table.line(&format!(
        "  header {HEADER_LEN}, footer {FOOTER_LEN}, overhead {OVERHEAD}; the smallest seq id is 1"
    ));
    table.line("");
    table.line("size of a record, by bits");
    table.line(&format!("  0..={}  N, the length of the stored payload", LEN_BITS - 1));
    table.line(&format!("  {LEN_BITS}..={}  zero", CODEC_SHIFT - 1));
    table.line(&format!(
        "  {CODEC_SHIFT}..={}  codec: 0 none, 1 Snappy, 2 Zstd, 3 LZ4",
        CODEC_SHIFT + 2
    ));
    table.line(&format!("  {}  PACKED: the payload is a batch", PACKED.trailing_zeros()));
    table.fields(
        "payload of a PACKED record (big-endian)",
        &[
            (4, "count, at least 1; in clear whatever the codec"),
            (VARIES, "count end offsets of 4 bytes, cumulative"),
            (VARIES, "the entries' bytes"),
        ],
    );
}

fn manifest(table: &mut Table) {
    table.line("");
    table.line(&format!("manifest: {FILE_LEN} bytes, blocks of {BLOCK_LEN}"));
    table.line("  block 0, 2  copies of the newest even generation");
    table.line("  block 1, 3  copies of the newest odd generation");
    table.line("  block 4, 5  mark slots");
    table.fields(
        &format!("manifest block (little-endian), version {VERSION}"),
        &[
            (MAGIC.len(), &format!("magic {}", MAGIC.escape_ascii())),
            (4, "CRC32C of all that follows, up to the length"),
            (4, "version"),
            (4, "length of the body"),
            (16, "log id"),
            (8, "generation"),
            (8, "first seq id"),
            (8, "first ordinal"),
            (8, "first open ordinal (sealed_through + 1)"),
            (8, "first open seq id"),
            (8, "number of sealed segments"),
            (8, "active ordinal"),
            (8, "next ordinal"),
            (8, "lowest next seq id"),
            (1, "base mark: 1 if there is one"),
            (24, "base mark: ordinal, offset, next seq id"),
            (1, "cut: 0 none; else 1, +2 it keeps a segment, +4 a prepared segment"),
            (VARIES, "where there is a cut: kept ordinal, kept length, dead from, dead to, first cut, prepared length, of 8 each"),
            (4, "number of epochs"),
            (VARIES, "epochs: first seq id of 8, id of 16"),
            (4, "number of losses"),
            (VARIES, "losses: first and last seq id, of 8 each"),
            (4, "number of metadata entries"),
            (VARIES, "metadata: key, value, each with its length of 2 before it"),
        ],
    );
    table.line(&format!(
        "  at most {MAX_EPOCHS} epochs, {MAX_LOSSES} losses, {MAX_META} bytes of metadata"
    ));
}

fn mark(table: &mut Table) {
    table.fields(
        &format!("mark slot (little-endian): the first {MARK_LEN} bytes of its block"),
        &[
            (MARK_MAGIC.len(), &format!("magic {}", MARK_MAGIC.escape_ascii())),
            (4, "CRC32C of all that follows"),
            (4, "version"),
            (16, "log id"),
            (16, "epoch"),
            (8, "generation"),
            (8, "ordinal"),
            (8, "offset"),
            (8, "next seq id"),
            (8, "counter"),
        ],
    );
}

fn index_file(table: &mut Table) {
    let len = table.fields(
        &format!("index header (little-endian), version {}", index::VERSION),
        &[
            (index::MAGIC.len(), &format!("magic {}", index::MAGIC.escape_ascii())),
            (4, "version"),
            (4, "flags: 1 the times are the file's"),
            (16, "log id"),
            (8, "ordinal"),
            (8, "length of the segment"),
            (8, "first seq id"),
            (8, "number of entries"),
            (8, "seq ids per entry"),
            (8, "append time of the last entry, microseconds since 1970"),
            (4, "CRC32C of the entries"),
            (8, "zero"),
            (4, "CRC32C of the header"),
        ],
    );
    debug_assert_eq!(len, index::HEADER_LEN);
    table.fields(
        "index entry i (little-endian)",
        &[
            (8, &format!("offset of the record that holds first + {} * i", index::EVERY)),
            (8, "append time, microseconds since 1970"),
        ],
    );
}

fn cursors(table: &mut Table) {
    let (len, block, magic) = (slot::SLOT_LEN, slot::BLOCK, slot::MAGIC.escape_ascii());
    table.line("");
    table.line(&format!(
        "cursors: {} bytes for each, at most {}",
        slot::PAIR_LEN,
        slot::MAX_CURSORS
    ));
    table.line(&format!("  two slots, the first {len} bytes of a block of {block} each"));
    table.fields(
        &format!("cursor slot (little-endian), version {}", slot::VERSION),
        &[
            (slot::MAGIC.len(), &format!("magic {magic}")),
            (4, "CRC32C of all that follows, up to the name's end"),
            (4, "version"),
            (16, "log id"),
            (8, "counter"),
            (4, "flags: 0 free, 1 in use, 3 expired"),
            (16, "epoch of the entry before the position; 0 where there was none"),
            (8, "position: the seq id that comes next"),
            (4, "length of the name"),
            (slot::MAX_NAME, "name"),
        ],
    );
}

fn dictionary(table: &mut Table) {
    let magic = DICTIONARY_MAGIC.escape_ascii();
    let len = table.fields(
        &format!("dictionary (little-endian), version {DICTIONARY_VERSION}"),
        &[
            (DICTIONARY_MAGIC.len(), &format!("magic {magic}")),
            (4, "CRC32C of all that follows"),
            (4, "version"),
            (4, "id, as in the file's name and in the dictionary"),
            (4, "number: the highest one is what is compressed with"),
            (4, "length of the dictionary"),
            (4, "zero"),
            (VARIES, "the dictionary, as Zstandard has it"),
        ],
    );
    debug_assert_eq!(len, DICTIONARY_HEAD);
    table.line(&format!("  at most {MOST_DICTIONARY} bytes of dictionary"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_golden_one() {
        let golden = include_str!("../../tests/golden/layout.txt");
        assert_eq!(layout(), golden, "a change of the format? see CONTRIBUTING.md");
    }

    #[test]
    fn the_table_says_where_the_codecs_put_things() {
        let mut record = Vec::new();
        crate::record::encode(&mut record, 0x0102, &[b"abc"]);
        assert_eq!(record[4..12], [0, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(record[12..20], [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(record[23..], [0, 0, 0, 0, 0, 0, 0, 3]);
        let bytes = index::Index { first_seq: 77, ..Default::default() }.encode(5, 6, 7);
        assert_eq!(bytes[16..32], 5_u128.to_le_bytes());
        assert_eq!(bytes[32..40], 6_u64.to_le_bytes());
        assert_eq!(bytes[40..48], 7_u64.to_le_bytes());
        assert_eq!(bytes[48..56], 77_u64.to_le_bytes());
        let text = layout();
        for line in ["     4      8  size", "    12      8  seq id of the first entry"] {
            assert!(text.contains(line), "{line}");
        }
    }
}
