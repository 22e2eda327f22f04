//! The stored logs and what the Go library made of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::engine::over;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use walden::{Config, Entry};

pub(crate) const ALL: [&str; 9] = [
    "basic",
    "empty",
    "rotated",
    "large",
    "truncated-front",
    "torn-tail",
    "torn-header",
    "zero-tail",
    "flip-active",
];

/// A record as the manifest describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) seq: u64,
    pub(crate) len: u64,
    pub sha256: String,
}

impl From<&Entry> for Expected {
    fn from(entry: &Entry) -> Self {
        let len = entry.payload.len() as u64;
        Self { seq: entry.seq, len, sha256: sha256(&entry.payload) }
    }
}

pub(crate) struct Vector {
    pub(crate) name: &'static str,
    pub(crate) segment_size: u64,
    /// What Go's reader returned.
    pub(crate) records: Vec<Expected>,
    pub(crate) next_seq: Option<u64>,
    /// Lengths after Go opened and closed it.
    pub(crate) after_open: BTreeMap<String, u64>,
}

impl Vector {
    pub(crate) fn load(name: &'static str) -> Self {
        let text = fs::read_to_string(folder(name).join("manifest.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        for file in json["files"].as_array().unwrap() {
            let bytes = fs::read(folder(name).join("log").join(file["name"].as_str().unwrap()));
            let bytes = bytes.unwrap();
            assert_eq!(bytes.len() as u64, file["size"].as_u64().unwrap(), "{name}: {file}");
            assert_eq!(sha256(&bytes), file["sha256"].as_str().unwrap(), "{name}: {file}");
        }
        let expected = |record: &serde_json::Value| Expected {
            seq: record["seq"].as_u64().unwrap(),
            len: record["len"].as_u64().unwrap(),
            sha256: record["sha256"].as_str().unwrap().to_owned(),
        };
        let after = |file: &serde_json::Value| {
            (file["name"].as_str().unwrap().to_owned(), file["size"].as_u64().unwrap())
        };
        Self {
            name,
            segment_size: json["segment_size"].as_u64().unwrap(),
            records: json["records"].as_array().unwrap().iter().map(expected).collect(),
            next_seq: json["next_seq"].as_u64(),
            after_open: json["files_after_open"].as_array().unwrap().iter().map(after).collect(),
        }
    }

    /// The records that a sound reader recovers. Where Go panics, that is what the README says.
    pub(crate) fn sound(&self) -> Vec<Expected> {
        if self.name != "torn-header" {
            return self.records.clone();
        }
        assert!(self.records.is_empty(), "Go's open panics on it");
        (1..=199_u64)
            .map(|seq| {
                let payload = pat(seq - 1, 100);
                Expected { seq, len: 100, sha256: sha256(&payload) }
            })
            .collect()
    }

    pub(crate) fn log(&self) -> PathBuf {
        folder(self.name).join("log")
    }

    pub(crate) fn config(&self) -> Config {
        over(Config::durable()).segment_size(self.segment_size)
    }

    /// The files, to be written to.
    pub(crate) fn copy(&self) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in contents(&self.log()) {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        dir
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

/// Every file below a folder, by its path in it.
pub(crate) fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            for (inner, bytes) in contents(&entry.path()) {
                out.insert(format!("{name}/{inner}"), bytes);
            }
        } else {
            out.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    out
}

/// The README's payloads.
pub(crate) fn pat(i: u64, n: u64) -> Vec<u8> {
    (0..n).map(|j| u8::try_from((i * 31 + j * 7 + j / 256) % 256).unwrap()).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
