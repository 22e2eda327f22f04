//! The names of a log's files. Foreign files in the folder are nobody's business.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What one of the log's own names stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Wal(u64),
    Index(u64),
    Next(u64),
    /// The index of a segment that is being written anew.
    IndexNew(u64),
    Manifest,
    ManifestNew,
    Lock,
    Quarantine,
    Cursors,
    /// A dictionary, by its id.
    Dictionary(u32),
    /// One being made.
    DictionaryNew,
}

/// A folder and a prefix: together they name a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    dir: PathBuf,
    prefix: String,
}

impl Names {
    pub(crate) fn new(dir: &Path, prefix: &str) -> Self {
        Self { dir: dir.to_owned(), prefix: prefix.to_owned() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn wal(&self, ordinal: u64) -> PathBuf {
        self.numbered(ordinal, "wal")
    }

    pub(crate) fn index(&self, ordinal: u64) -> PathBuf {
        self.numbered(ordinal, "idx")
    }

    /// The index of a segment that is being written anew, before it takes the old one's place.
    pub(crate) fn index_new(&self, ordinal: u64) -> PathBuf {
        self.numbered(ordinal, "idx.new")
    }

    /// The segment made ready, before it is one.
    pub(crate) fn next(&self, ordinal: u64) -> PathBuf {
        self.numbered(ordinal, "next")
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.dir.join(format!("{}.manifest", self.prefix))
    }

    pub(crate) fn manifest_new(&self) -> PathBuf {
        self.dir.join(format!("{}.manifest.new", self.prefix))
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join(format!("{}.lock", self.prefix))
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.dir.join(format!("{}.quarantine", self.prefix))
    }

    pub(crate) fn cursors(&self) -> PathBuf {
        self.dir.join(format!("{}.cursors", self.prefix))
    }

    /// The dictionary with this id.
    pub(crate) fn dictionary(&self, id: u32) -> PathBuf {
        self.dir.join(format!("{}-{id}.dict", self.prefix))
    }

    pub(crate) fn dictionary_new(&self) -> PathBuf {
        self.dir.join(format!("{}.dict.new", self.prefix))
    }

    fn numbered(&self, ordinal: u64, ending: &str) -> PathBuf {
        self.dir.join(format!("{}-{ordinal:04}.{ending}", self.prefix))
    }

    /// What `name` stands for in this log; `None` if it is not one of ours.
    pub(crate) fn parse(&self, name: &OsStr) -> Option<Name> {
        let rest = name.to_str()?.strip_prefix(&self.prefix)?;
        match rest {
            ".manifest" => return Some(Name::Manifest),
            ".manifest.new" => return Some(Name::ManifestNew),
            ".lock" => return Some(Name::Lock),
            ".quarantine" => return Some(Name::Quarantine),
            ".cursors" => return Some(Name::Cursors),
            ".dict.new" => return Some(Name::DictionaryNew),
            _ => {}
        }
        let (digits, ending) = rest.strip_prefix('-')?.split_once('.')?;
        if ending == "dict" {
            return dictionary_id(digits).map(Name::Dictionary);
        }
        let ordinal = canonical(digits)?;
        match ending {
            "wal" => Some(Name::Wal(ordinal)),
            "idx" => Some(Name::Index(ordinal)),
            "idx.new" => Some(Name::IndexNew(ordinal)),
            "next" => Some(Name::Next(ordinal)),
            _ => None,
        }
    }

    /// The prefix that `name` has if it is a segment or a manifest of some log.
    pub(crate) fn prefix_of(name: &OsStr) -> Option<&str> {
        let name = name.to_str()?;
        if let Some(prefix) = name.strip_suffix(".manifest") {
            return (!prefix.is_empty()).then_some(prefix);
        }
        let (prefix, digits) = name.strip_suffix(".wal")?.rsplit_once('-')?;
        canonical(digits)?;
        (!prefix.is_empty()).then_some(prefix)
    }
}

/// Four digits, or more without a leading zero: each ordinal has one name.
fn canonical(digits: &str) -> Option<u64> {
    let plain = digits.len() >= 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || (digits.len() > 4 && digits.starts_with('0')) {
        return None;
    }
    // Behind the highest one there must be room for those to come.
    digits.parse().ok().filter(|ordinal| *ordinal < u64::MAX / 4)
}

/// As it is written: no zeros in front, no sign.
fn dictionary_id(digits: &str) -> Option<u32> {
    let id: u32 = digits.parse().ok()?;
    (id != 0 && id.to_string() == digits).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str) -> Option<Name> {
        Names::new(Path::new("d"), "a").parse(OsStr::new(name))
    }

    #[test]
    fn names_and_back() {
        let names = Names::new(Path::new("d"), "segment");
        for ordinal in [0, 9999, 10_000, u64::MAX / 4 - 1] {
            let path = names.wal(ordinal);
            assert_eq!(names.parse(path.file_name().unwrap()), Some(Name::Wal(ordinal)));
        }
        assert_eq!(names.wal(7), Path::new("d/segment-0007.wal"));
        assert_eq!(parse("a.manifest"), Some(Name::Manifest));
        assert_eq!(parse("a-0003.next"), Some(Name::Next(3)));
        assert_eq!(parse("a-0003.idx.new"), Some(Name::IndexNew(3)));
        assert_eq!(parse("a.cursors"), Some(Name::Cursors));
        let path = names.dictionary(1_234_567_890);
        assert_eq!(names.parse(path.file_name().unwrap()), Some(Name::Dictionary(1_234_567_890)));
    }

    #[test]
    fn only_canonical_names_are_ours() {
        for name in [
            "a-00001.wal",
            "a-1.wal",
            "a-001.wal",
            "a-0001x.wal",
            "a-0001.wal.bak",
            "a-+001.wal",
            "a-1-0000.wal",
            "ab-0000.wal",
            "A-0000.wal",
            "a-.wal",
            "a0000.wal",
            "a-0000.WAL",
            "a-99999999999999999999.wal",
            "a-18446744073709551615.wal",
            "a-0012.dict",
            "a-0.dict",
            "a-+12.dict",
            "a-4294967296.dict",
            "a-.dict",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
        assert_eq!(Names::prefix_of(OsStr::new("a-1-0000.wal")), Some("a-1"));
        assert_eq!(Names::prefix_of(OsStr::new("-0000.wal")), None);
        assert_eq!(Names::prefix_of(OsStr::new("x.manifest")), Some("x"));
    }
}
