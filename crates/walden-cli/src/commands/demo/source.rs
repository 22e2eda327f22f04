//! What the demonstration appends: lines of this machine's own files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::args;
use crate::exit::Failure;

const MAX_TOTAL: usize = 4 << 20;
const MAX_FILE: u64 = 256 << 10;
const MAX_LINE: usize = 2000;
/// Of one folder, so that no folder is all there is to see.
const MAX_FILES: usize = 150;

/// Where text is found on most machines: folder, what the names end with, and how deep to look.
const PLACES: [(&str, &str, u32); 4] = [
    ("/var/log", ".log", 1),
    ("/usr/share/common-licenses", "", 0),
    ("/usr/share/doc", "copyright", 1),
    ("/etc", ".conf", 0),
];

/// Lines to append, and where they are from.
#[derive(Debug)]
pub(super) struct Corpus {
    pub(super) lines: Vec<String>,
    pub(super) from: String,
}

impl Corpus {
    /// The lines of `files`; without any, of what lies around, or of our own help.
    ///
    /// # Errors
    /// Where a file that was named cannot be read, or nothing is in any.
    pub(super) fn gather(files: &[PathBuf]) -> Result<Self, Failure> {
        let mut corpus = Self { lines: Vec::new(), from: String::new() };
        let mut left = MAX_TOTAL;
        for path in files {
            let read = corpus.add(path, &mut left);
            read.map_err(|error| Failure::io("read it", &error).path(path))?;
        }
        if !files.is_empty() {
            if corpus.lines.is_empty() {
                return Err(Failure::usage("there is no line of text in those files"));
            }
            corpus.from = format!("{} files that were named", files.len());
            return Ok(corpus);
        }
        let mut count = 0;
        for (folder, ending, depth) in PLACES {
            let mut share = MAX_TOTAL / PLACES.len();
            for path in find(Path::new(folder), ending, depth) {
                // What cannot be read is not ours to read.
                count += u32::from(corpus.add(&path, &mut share).unwrap_or(false));
            }
        }
        corpus.from = format!("{count} text files of this machine");
        if corpus.lines.is_empty() {
            let own =
                [args::whole_help().as_str(), include_str!("../../../LICENSE-APACHE")].concat();
            corpus.add_text(own.as_bytes(), &mut left);
            corpus.from = "this program's help and licence".to_owned();
        }
        Ok(corpus)
    }

    /// Reads lines that a writer was given; see [`Self::save`].
    pub(super) fn load(path: &Path) -> io::Result<Vec<String>> {
        Ok(fs::read_to_string(path)?.lines().map(str::to_owned).collect())
    }

    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        fs::write(path, self.lines.join("\n"))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.lines.iter().map(|line| line.len() as u64).sum()
    }

    fn add(&mut self, path: &Path, left: &mut usize) -> io::Result<bool> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(self.add_text(&bytes, left))
    }

    /// Whether there was anything to take.
    fn add_text(&mut self, bytes: &[u8], left: &mut usize) -> bool {
        let before = self.lines.len();
        for line in String::from_utf8_lossy(bytes).lines() {
            let line = line.trim_end();
            if !line.is_empty() && line.len() <= MAX_LINE && line.len() <= *left {
                *left -= line.len();
                // What `lines` of the saved text would split otherwise.
                self.lines.push(line.replace(['\r', '\n'], " "));
            }
        }
        self.lines.len() > before
    }
}

/// Regular files below `folder` whose names end so, in order of name. Links are not followed.
fn find(folder: &Path, ending: &str, depth: u32) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut found = Vec::new();
    for entry in entries {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth > 0 {
            found.extend(find(&entry.path(), ending, depth - 1));
        } else if kind.is_file() && entry.file_name().to_string_lossy().ends_with(ending) {
            found.push(entry.path());
        }
        if found.len() >= MAX_FILES {
            found.truncate(MAX_FILES);
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_the_way_to_the_writer() {
        let dir = tempfile::tempdir().unwrap();
        let (text, saved) = (dir.path().join("text"), dir.path().join("saved"));
        fs::write(&text, b"one\r\n\n  two \xff\rthree\n").unwrap();
        let corpus = Corpus::gather(&[text]).unwrap();
        assert_eq!(corpus.lines, ["one", "  two \u{fffd} three"]);
        corpus.save(&saved).unwrap();
        assert_eq!(Corpus::load(&saved).unwrap(), corpus.lines);
    }

    #[test]
    fn a_named_file_must_be_readable_text() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Corpus::gather(&[dir.path().join("none")]).is_err());
        assert!(Corpus::gather(&[dir.path().to_owned()]).is_err());
        let empty = dir.path().join("empty");
        fs::write(&empty, "").unwrap();
        assert!(Corpus::gather(&[empty]).is_err());
    }

    #[test]
    fn there_is_always_something() {
        assert!(Corpus::gather(&[]).unwrap().lines.len() > 10);
    }
}
