//! Tests of the simulator itself, by what they are about.

mod crashes;
mod faults;
mod seeds;
mod system;

use std::io;
use std::path::Path;
use std::sync::Arc;

use walden::storage::{Access, File, Storage};

use crate::{SimDisk, enumerate_crashes};

fn p(path: &str) -> &Path {
    Path::new(path)
}

/// A disk with a durable, empty file.
fn with_file(path: &str) -> (SimDisk, Arc<dyn File>) {
    let disk = SimDisk::new();
    disk.write_file(path, b"").unwrap();
    let file = disk.open(p(path), Access::ReadWrite).unwrap();
    (disk, file)
}

/// All contents that a file may have after a power cut; `None` where it is not there.
fn contents(disk: &SimDisk, path: &str) -> Vec<Option<Vec<u8>>> {
    let mut found = Vec::new();
    assert!(enumerate_crashes(disk, 10_000, |image| found.push(image.read_file(path).ok())));
    let images = found.len();
    found.sort();
    found.dedup();
    assert!(found.len() <= images);
    found
}

/// The sets of files there may be after a power cut, each once.
fn names(disk: &SimDisk) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let name = |path: std::path::PathBuf| path.display().to_string();
    let all = enumerate_crashes(disk, 10_000, |image| {
        found.push(image.files().into_iter().map(name).collect::<Vec<_>>());
    });
    assert!(all);
    found.sort();
    found
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}
