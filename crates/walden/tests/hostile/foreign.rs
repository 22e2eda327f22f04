//! What else may lie in a folder, what a folder may be called, and folders that are none.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::engine::over;
use walden::{Config, ErrorKind, LogReader, Origin, Wal};
use walden_sim::SimDisk;

use crate::child;
use crate::logs::{closed, go, goes_on, holds, open, path, reader, wal, whole, with};
use crate::record::plain;

/// Names that are nobody's, or another log's.
const NAMES: [&str; 18] = [
    "segment-00001.wal",
    "segment-1.wal",
    "segment-001.wal",
    "segment-0001x.wal",
    "segment-0001.wal.bak",
    "segment-+001.wal",
    "segment-1-0000.wal",
    "segments-0000.wal",
    "Segment-0000.wal",
    "segment-.wal",
    "segment0000.wal",
    "segment-0000.WAL",
    "segment-99999999999999999999.wal",
    "segment-00001.idx",
    "segment.manifest.bak",
    "other.manifest",
    "notes.txt",
    ".segment-0003.wal",
];

#[test]
fn foreign_files_are_left_alone() {
    for made in [closed(), go()] {
        let rubbish = [plain(1, b"x"), plain(999, b"y"), vec![0xff; 40]].concat();
        for name in NAMES {
            made.disk.write_file(path(name), &rubbish).unwrap();
        }
        let log = open(&made.disk).unwrap();
        assert!(whole(&log) == made.entries);
        goes_on(log, &made.disk, &made.entries);
        let log = open(&made.disk).unwrap();
        log.truncate_back(5).unwrap();
        log.truncate_front(3).unwrap();
        log.close().unwrap();
        for name in NAMES {
            assert_eq!(made.disk.read_file(path(name)).unwrap(), rubbish, "{name}");
        }
    }
}

/// Files made ready, and manifests not finished, are no part of the log: whatever they hold, they go.
#[test]
fn leftovers_of_a_crash() {
    for made in [closed(), go()] {
        let next = made.entries.len() as u64 + 1;
        for ordinal in [0, 1, 2, 3, 4, 17] {
            let name = path(&format!("segment-{ordinal:04}.next"));
            made.disk.write_file(&name, &plain(next, b"a ghost")).unwrap();
        }
        made.disk.write_file(path("segment.manifest.new"), &[0xab; 24_576]).unwrap();
        assert!(whole(&open(&made.disk).unwrap()) == made.entries);
        holds(&made.disk, &made.entries);
        let left = made.disk.files();
        assert!(
            left.iter().all(|p| p.extension().is_none_or(|e| e != "next" && e != "new")),
            "{left:?}"
        );
    }
}

/// With nothing but leftovers there is no log yet.
#[test]
fn leftovers_alone() {
    let disk = SimDisk::new();
    disk.write_file(path("segment-0000.next"), &plain(1, b"a ghost")).unwrap();
    disk.write_file(path("segment.manifest.new"), &[0; 100]).unwrap();
    disk.write_file(path("segment.lock"), b"").unwrap();
    let log = open(&disk).unwrap();
    assert_eq!((log.recovery().origin, log.next_seq()), (Origin::Created, 1));
    goes_on(log, &disk, &[]);
}

#[test]
fn empty_things() {
    // A Go log with no byte in it.
    let disk = SimDisk::new();
    disk.write_file(wal(0), b"").unwrap();
    assert_eq!(reader(&disk).unwrap().next_seq(), 1);
    let log = open(&disk).unwrap();
    assert_eq!((log.recovery().origin, log.is_empty()), (Origin::Adopted, true));
    goes_on(log, &disk, &[]);
    // Several of them, then entries; between them, too.
    let made = go();
    let last = made.disk.read_file(wal(2)).unwrap();
    let disk = with(&with(&made.disk, &wal(2), b""), &wal(3), &last);
    holds(&with(&disk, &wal(4), b""), &made.entries);
    // Entries without a byte.
    let disk = SimDisk::new();
    let log = open(&disk).unwrap();
    let mut entries = Vec::new();
    for seq in 1..=40 {
        assert_eq!(log.append(b"").unwrap(), seq);
        entries.push((seq, Vec::new()));
        log.tick().unwrap();
    }
    assert_eq!(log.append_batch([b"", b""]).unwrap(), 41..43);
    entries.extend([(41, Vec::new()), (42, Vec::new())]);
    log.close().unwrap();
    drop(log);
    holds(&disk, &entries);
}

fn small(dir: &Path, config: Config) -> Wal {
    let log = Wal::open(dir, config).unwrap();
    for i in 0..20 {
        log.append(format!("entry {i}")).unwrap();
    }
    log
}

fn durable() -> Config {
    over(Config::durable()).segment_size(200)
}

/// Every file and folder, with what is in it.
fn listing(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, fs::read(entry.path()).unwrap_or_default())
    });
    entries.filter(|(name, _)| name != "segment.lock").collect()
}

/// A folder, a link or a pipe under a name that the log needs: said so, and nothing is touched.
#[test]
fn names_that_stand_for_something_else() {
    for name in
        ["segment-0005.wal", "segment-0000.idx", "segment-0009.next", "segment.manifest.new"]
    {
        let dir = tempfile::tempdir().unwrap();
        small(dir.path(), durable()).close().unwrap();
        let taken = dir.path().join(name);
        _ = fs::remove_file(&taken);
        fs::create_dir(&taken).unwrap();
        let before = listing(dir.path());
        let error = Wal::open(dir.path(), durable()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert_eq!(error.file(), Some(taken.as_path()), "{error}");
        assert!(error.what_to_do().is_some(), "{error}");
        assert!(listing(dir.path()) == before, "{name}");
        fs::remove_dir(&taken).unwrap();
        assert_eq!(Wal::open(dir.path(), durable()).unwrap().next_seq(), 21);
    }
}

#[test]
fn a_link_and_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    small(dir.path(), durable()).close().unwrap();
    let taken = dir.path().join("segment-0099.wal");
    std::os::unix::fs::symlink("/dev/zero", &taken).unwrap();
    assert_eq!(Wal::open(dir.path(), durable()).unwrap_err().kind(), ErrorKind::InvalidInput);
    fs::remove_file(&taken).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&taken).status();
    if !made.is_ok_and(|status| status.success()) {
        return child::skipped("there is no mkfifo");
    }
    assert_eq!(Wal::open(dir.path(), durable()).unwrap_err().kind(), ErrorKind::InvalidInput);
    // A reader must not wait for somebody to write into it.
    let (done, told) = std::sync::mpsc::channel();
    let at = dir.path().to_owned();
    std::thread::spawn(move || {
        let found = LogReader::open(&at).map(|log| log.range(..).unwrap().count());
        done.send(found.map_err(|error| error.kind())).unwrap();
    });
    let found = told.recv_timeout(Duration::from_secs(10));
    assert!(found.is_ok(), "the reader waits for the pipe");
}

#[test]
fn odd_names() {
    let dir = tempfile::tempdir().unwrap();
    for name in
        ["with space", "it's; $(rm -rf x)", "-leading", "ünï☃", "new\nline", "a\"b\\c", "%d%s"]
    {
        let log = dir.path().join(name);
        small(&log, durable()).close().unwrap();
        let opened = Wal::open(&log, durable()).unwrap();
        assert_eq!(opened.range(..).unwrap().count(), 20, "{name}");
        opened.close().unwrap();
        // The advice can be pasted into a shell: the folder is one word of it.
        fs::remove_file(log.join("segment-0001.wal")).unwrap();
        let error = Wal::open(&log, durable()).unwrap_err();
        let advice = error.what_to_do().unwrap();
        let (_, after) = advice.split_once("walden ").unwrap();
        let script = format!("walden() {{ shift; printf %s \"$*\"; }}; walden {after}");
        let said = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), log.to_str().unwrap(), "{advice}");
    }
    for prefix in ["a b", "-x", "it's", "sëg", "a-1", "x.y", "%", "a\"b"] {
        let log = dir.path().join("prefixes");
        small(&log, durable().segment_prefix(prefix)).close().unwrap();
        let opened = Wal::open(&log, durable().segment_prefix(prefix)).unwrap();
        assert_eq!(opened.next_seq(), 21, "{prefix}");
        let found = LogReader::open_prefix(&log, prefix).unwrap();
        assert_eq!(found.range(..).unwrap().count(), 20, "{prefix}");
    }
}

#[test]
fn folders_that_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"not a folder").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = Wal::open(&path, durable()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(error.file().is_some() && error.io_kind().is_some(), "{error}");
        assert!(LogReader::open(&path).is_err());
    }
    assert_eq!(fs::read(&file).unwrap(), b"not a folder");
    // Parents are made.
    let deep = dir.path().join("a/b/c/d");
    assert_eq!(LogReader::open(&deep).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!dir.path().join("a").exists(), "a reader makes nothing");
    small(&deep, durable()).close().unwrap();
    assert_eq!(LogReader::open(&deep).unwrap().range(..).unwrap().count(), 20);
}

#[test]
fn locked() {
    let dir = tempfile::tempdir().unwrap();
    let log = small(dir.path(), durable());
    let begun = Instant::now();
    let error = Wal::open(dir.path(), durable()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    assert_eq!(error.file(), Some(dir.path().join("segment.lock").as_path()));
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    assert!(error.what_to_do().is_some(), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5), "it does not wait");
    // Beside the writer one may read.
    assert_eq!(LogReader::open(dir.path()).unwrap().range(..).unwrap().count(), 20);
    assert_eq!(log.append(b"the first goes on").unwrap(), 21);
    drop(log);
    assert_eq!(Wal::open(dir.path(), durable()).unwrap().next_seq(), 22);
}

/// In a folder that nobody may write to: a reader reads, a writer is told, nothing is changed.
#[test]
fn read_only() {
    if let Some(dir) = child::argument() {
        return read_only_child(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    small(&log, durable()).close().unwrap();
    for entry in fs::read_dir(&log).unwrap() {
        fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(0o444)).unwrap();
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&log, fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = child::command("foreign::read_only", "", &log);
    command.current_dir("/");
    // Root may write anywhere: then somebody else has to try.
    if fs::write(log.join("probe"), b"").is_ok() {
        fs::remove_file(log.join("probe")).unwrap();
        command.uid(65_534).gid(65_534);
    }
    match command.output() {
        Ok(output) if output.status.code() == Some(126) => {
            child::skipped("another user may not run the tests' program");
        }
        Ok(output) => child::passed(&output),
        Err(error) => child::skipped(&format!("nothing can be run as another user: {error}")),
    }
    fs::set_permissions(&log, fs::Permissions::from_mode(0o755)).unwrap();
}

fn read_only_child(dir: &Path) {
    let before = listing(dir);
    let log = LogReader::open(dir).unwrap();
    assert_eq!(log.range(..).unwrap().filter(Result::is_ok).count(), 20);
    let error = Wal::open(dir, durable()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert_eq!(error.io_kind(), Some(std::io::ErrorKind::PermissionDenied), "{error}");
    assert!(error.file().is_some(), "{error}");
    assert!(listing(dir) == before);
}
