//! The bodies of the fuzz targets: each takes bytes, makes a log or calls of them, and panics where a
//! promise is broken.
//!
//! `fuzz/` feeds them from libFuzzer; the test `corpus` of this crate feeds them what is stored in
//! `fuzz/corpus`, so that every input that once found something is run by `cargo test`.
//!
//! Bytes alone would hardly ever get past a checksum. So they are taken as a description (`arbitrary`): of
//! records with right and wrong checksums, of what to do to the files of a sound log, of calls.

#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::big_endian_bytes,
    clippy::cast_possible_truncation,
    clippy::missing_panics_doc,
    reason = "a body fails by panicking, and makes bytes of its own"
)]

mod ask;
mod cursors;
mod edits;
mod frames;
mod logs;
mod model;
mod operations;
mod pieces;

use std::fmt::Debug;

use arbitrary::{Arbitrary, Unstructured};
use walden_sim::SimDisk;

use crate::edits::{Edit, Which};
use crate::pieces::Piece;

/// What a description may hold at most: a log of some kilobytes shows as much as a large one.
const MOST: usize = 24;

/// A body, fed with bytes.
pub type Body = fn(&[u8]);

/// The bodies, by the names of their targets.
pub const TARGETS: &[(&str, Body)] = &[
    ("record", record),
    ("folder", folder),
    ("index", index),
    ("manifest", manifest),
    ("cursors", cursors),
    ("frames", frames::run),
    ("operations", operations::run),
    ("consumers", operations::run_consumers),
];

/// At most `MOST` things, as many as the bytes describe.
fn list<'a, T: Arbitrary<'a> + Debug>(bytes: &mut Unstructured<'a>) -> Vec<T> {
    let mut found = Vec::new();
    while found.len() < MOST && !bytes.is_empty() {
        match T::arbitrary(bytes) {
            Ok(one) => {
                show(&one);
                found.push(one);
            }
            Err(_) => break,
        }
    }
    found
}

/// Edits the files; whether a checksum was forged.
fn edited(bytes: &mut Unstructured<'_>, disk: &SimDisk, which: Which) -> bool {
    let edits: Vec<Edit> = list(bytes);
    edits.iter().for_each(|edit| edit.apply(disk, which));
    edits.iter().any(|edit| matches!(edit, Edit::Field { .. }))
}

/// Says what the bytes stand for, where `WALDEN_SHOW` is set.
#[expect(clippy::print_stderr, reason = "asked for by who looks at an input")]
fn show(described: &impl Debug) {
    if std::env::var_os("WALDEN_SHOW").is_some() {
        eprintln!("{described:?}");
    }
}

/// One file of records, good and bad, without a manifest: what a Go log may look like.
pub fn record(data: &[u8]) {
    let pieces: Vec<Piece> = list(&mut Unstructured::new(data));
    let disk = logs::empty();
    disk.write_file(logs::segment(0), &pieces::build(&pieces, 1)).unwrap();
    ask::everything(&disk, false);
}

/// Any files of a sound log edited, added, removed and swapped.
pub fn folder(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok(base) = logs::Base::arbitrary(&mut bytes) else { return };
    show(&base);
    let made = base.made();
    ask::everything(&made.disk, edited(&mut bytes, &made.disk, Which::Any));
}

/// The index files alone: whatever they hold, each entry is found.
pub fn index(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let made = logs::Base::Closed.made();
    edited(&mut bytes, &made.disk, Which::Index);
    ask::holds(&made);
}

/// The manifest alone.
pub fn manifest(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok(base) = logs::Base::arbitrary(&mut bytes) else { return };
    show(&base);
    let made = base.made();
    ask::everything(&made.disk, edited(&mut bytes, &made.disk, Which::Manifest));
}

/// The cursors' file alone: whatever it holds, each entry is found, and no cursor comes to a place where it never was.
pub fn cursors(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let made = logs::with_cursors();
    let forged = edited(&mut bytes, &made.disk, Which::Cursors);
    cursors::ask(&made, forged);
}

pub use crate::frames::run as frames;
pub use crate::operations::{run as operations, run_consumers as consumers};
