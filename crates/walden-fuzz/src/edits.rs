//! What is done to the files of a log.

use std::path::{Path, PathBuf};

use arbitrary::Arbitrary;
use walden_sim::SimDisk;

use crate::logs::DIR;
use crate::pieces::{Piece, build};

/// Which files an edit may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Any,
    Index,
    Manifest,
    Cursors,
}

/// A name in the log's folder.
#[derive(Debug, Arbitrary)]
pub(crate) enum Name {
    Segment(u8),
    Index(u8),
    Next(u8),
    Manifest,
    ManifestNew,
    Lock,
    Quarantine(u8),
    /// Ordinals at the end of their range, and names that are nearly ours.
    Far(u64),
    Odd(u8),
}

#[derive(Debug, Arbitrary)]
pub(crate) enum Edit {
    Flip {
        file: u8,
        bit: u32,
    },
    Cut {
        file: u8,
        len: u16,
    },
    Overwrite {
        file: u8,
        at: u16,
        bytes: Vec<u8>,
    },
    Append {
        file: u8,
        next: u64,
        pieces: Vec<Piece>,
    },
    Replace {
        file: u8,
        bytes: Vec<u8>,
    },
    Records {
        name: Name,
        next: u64,
        pieces: Vec<Piece>,
    },
    Copy {
        file: u8,
        name: Name,
    },
    Remove {
        file: u8,
    },
    /// A field of the manifest, a mark, an index or a cursor changed, and the checksum with it.
    Field {
        file: u8,
        block: u8,
        at: u16,
        value: Value,
        twin: bool,
    },
}

#[derive(Debug, Arbitrary)]
pub(crate) enum Value {
    Byte(u8),
    Add(i8),
    Word(u64),
}

impl Name {
    fn path(&self) -> PathBuf {
        let name = match self {
            Self::Segment(n) => format!("segment-{:04}.wal", n % 12),
            Self::Index(n) => format!("segment-{:04}.idx", n % 12),
            Self::Next(n) => format!("segment-{:04}.next", n % 12),
            Self::Manifest => "segment.manifest".to_owned(),
            Self::ManifestNew => "segment.manifest.new".to_owned(),
            Self::Lock => "segment.lock".to_owned(),
            Self::Quarantine(n) => format!("segment.quarantine/{n}"),
            Self::Far(n) => format!("segment-{:04}.wal", u64::MAX - n % 4),
            Self::Odd(n) => {
                ["segment-1.wal", "segment-00001.wal", "segment-.wal", "other-0000.wal"]
                    [usize::from(n % 4)]
                .to_owned()
            }
        };
        Path::new(DIR).join(name)
    }
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn choose(disk: &SimDisk, file: u8, which: Which) -> Option<PathBuf> {
    let mut files = disk.files();
    files.retain(|path| match which {
        Which::Any => true,
        Which::Index => has_extension(path, "idx"),
        Which::Manifest => has_extension(path, "manifest"),
        Which::Cursors => has_extension(path, "cursors"),
    });
    let at = usize::from(file).checked_rem(files.len())?;
    Some(files.swap_remove(at))
}

impl Edit {
    pub(crate) fn apply(&self, disk: &SimDisk, which: Which) {
        let (Self::Flip { file, .. }
        | Self::Cut { file, .. }
        | Self::Overwrite { file, .. }
        | Self::Append { file, .. }
        | Self::Replace { file, .. }
        | Self::Copy { file, .. }
        | Self::Remove { file }
        | Self::Field { file, .. }) = self
        else {
            if let Self::Records { name, next, pieces } = self
                && which == Which::Any
            {
                // A name may be that of a folder, or lead through a file.
                drop(disk.write_file(name.path(), &build(pieces, *next)));
            }
            return;
        };
        let Some(path) = choose(disk, *file, which) else { return };
        if let Self::Remove { .. } = self {
            disk.remove_file(&path).unwrap();
            return;
        }
        let mut bytes = disk.read_file(&path).unwrap();
        if let Self::Copy { name, .. } = self {
            if which == Which::Any {
                drop(disk.write_file(name.path(), &bytes));
            } else if let Some(to) = choose(disk, name.path().as_os_str().len() as u8, which) {
                disk.write_file(to, &bytes).unwrap();
            }
            return;
        }
        self.alter(&path, &mut bytes);
        disk.write_file(&path, &bytes).unwrap();
    }

    fn alter(&self, path: &Path, bytes: &mut Vec<u8>) {
        match self {
            Self::Flip { bit, .. } if !bytes.is_empty() => {
                let bit = *bit as usize % (bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            Self::Cut { len, .. } => bytes.truncate(usize::from(*len)),
            Self::Overwrite { at, bytes: new, .. } => {
                let at = usize::from(*at) % (bytes.len() + 1);
                let len = new.len().min(bytes.len() - at);
                bytes[at..at + len].copy_from_slice(&new[..len]);
                bytes.extend(&new[len..]);
            }
            Self::Append { next, pieces, .. } => bytes.extend(build(pieces, *next)),
            Self::Replace { bytes: new, .. } => bytes.clone_from(new),
            Self::Field { block, at, value, twin, .. } => {
                let at = usize::from(*at);
                if has_extension(path, "manifest") {
                    let block = usize::from(*block % 6);
                    manifest_field(bytes, block, at, value);
                    if *twin && block < 4 {
                        manifest_field(bytes, block ^ 2, at, value);
                    }
                } else if has_extension(path, "idx") {
                    index_field(bytes, at, value);
                } else if has_extension(path, "cursors") {
                    slot_field(bytes, usize::from(*block), at, value);
                }
            }
            _ => {}
        }
    }
}

impl Value {
    fn put(&self, bytes: &mut [u8]) {
        match self {
            Self::Byte(byte) => bytes[0] = *byte,
            Self::Add(by) => bytes[0] = bytes[0].wrapping_add_signed(*by),
            Self::Word(word) => {
                let word = word.to_le_bytes();
                let len = bytes.len().min(word.len());
                bytes[..len].copy_from_slice(&word[..len]);
            }
        }
    }
}

const BLOCK: usize = 4096;

/// Changes a generation or a mark. Both have a magic number of 8 bytes, and a checksum behind it over what
/// follows: of a generation, as much as its length says; of a mark, 76 bytes.
fn manifest_field(bytes: &mut [u8], block: usize, at: usize, value: &Value) {
    let Some(block_bytes) = bytes.get_mut(block * BLOCK..(block + 1) * BLOCK) else { return };
    let covered = |bytes: &[u8]| {
        let len = u32::from_le_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]) as usize;
        if block < 4 { 12..(20 + len).min(BLOCK) } else { 12..12 + 76 }
    };
    let range = covered(block_bytes);
    if range.len() > 8 {
        value.put(&mut block_bytes[12 + at % range.len()..range.end]);
    }
    let crc = crc32c::crc32c(&block_bytes[covered(block_bytes)]);
    block_bytes[8..12].copy_from_slice(&crc.to_le_bytes());
}

/// Changes an index: a header of 96 bytes with the checksum of the body at 80 and its own at its end.
fn index_field(bytes: &mut [u8], at: usize, value: &Value) {
    if bytes.len() < 96 {
        return;
    }
    let at = at % bytes.len();
    value.put(&mut bytes[at..]);
    if at >= 96 {
        let crc = crc32c::crc32c(&bytes[96..]);
        bytes[80..84].copy_from_slice(&crc.to_le_bytes());
    }
    let crc = crc32c::crc32c(&bytes[..92]);
    bytes[92..96].copy_from_slice(&crc.to_le_bytes());
}

/// Changes one of a cursor's slots: a magic number of 8 bytes, a checksum, and 124 bytes that it covers, at the
/// beginning of a block.
fn slot_field(bytes: &mut [u8], block: usize, at: usize, value: &Value) {
    let blocks = bytes.len().div_ceil(BLOCK).max(1);
    let Some(slot) = bytes.get_mut(block % blocks * BLOCK..) else { return };
    let Some(slot) = slot.get_mut(..12 + 124) else { return };
    value.put(&mut slot[12 + at % 124..]);
    let crc = crc32c::crc32c(&slot[12..]);
    slot[8..12].copy_from_slice(&crc.to_le_bytes());
}
