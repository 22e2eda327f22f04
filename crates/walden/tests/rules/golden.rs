//! Golden files of every format: made again byte by byte, and the stored ones opened.

use std::path::PathBuf;

use walden::storage::Clock as _;
use walden::{Recovery, SyncStrategy};

use crate::support::{DIR, Lab, ManifestBytes, entries, payload, payloads, read_only};

fn stored() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

/// Plain and packed records, over three segments; metadata, a cut through a batch, a cut in front; closed.
fn make() -> Lab {
    let lab = Lab::new(SyncStrategy::Always, 600);
    let wal = lab.open();
    Lab::append(&wal, 1..=2);
    wal.append_batch(payloads(3..=7)).unwrap();
    wal.tick().unwrap();
    lab.clock.advance(std::time::Duration::from_millis(1500));
    Lab::append(&wal, 8..=10);
    wal.append_batch(payloads(11..=16)).unwrap();
    wal.set_meta("vote", "node 3, term 7").unwrap();
    wal.truncate_back(13).unwrap();
    wal.truncate_front(2).unwrap();
    wal.append("").unwrap();
    wal.append_batch([&b"fifteen"[..], b"", b"seventeen"]).unwrap();
    lab.clock.advance(std::time::Duration::from_millis(1500));
    wal.tick().unwrap();
    wal.close().unwrap();
    drop(wal);
    lab
}

fn held() -> Vec<Vec<u8>> {
    let mut all = payloads(2..=13);
    all.extend([vec![], b"fifteen".to_vec(), vec![], b"seventeen".to_vec()]);
    all
}

/// The lock file without the process that wrote it.
fn without_pid(name: &str, bytes: Vec<u8>) -> Vec<u8> {
    if !name.ends_with(".lock") {
        return bytes;
    }
    let text = String::from_utf8(bytes).unwrap();
    let lines = text.lines().map(|line| if line.starts_with("pid ") { "pid 4242" } else { line });
    lines.flat_map(|line| [line, "\n"]).collect::<String>().into_bytes()
}

/// What this version writes is what version 1 wrote, byte by byte.
#[test]
fn the_formats_have_not_changed() {
    let lab = make();
    let mut names: Vec<String> = Vec::new();
    for path in lab.disk.files() {
        names.push(path.strip_prefix(DIR).unwrap().to_str().unwrap().to_owned());
    }
    if std::env::var_os("WALDEN_MAKE_GOLDEN").is_some() && !stored().join("segment.lock").exists() {
        std::fs::create_dir_all(stored()).unwrap();
        for name in &names {
            std::fs::write(stored().join(name), without_pid(name, lab.read(name))).unwrap();
        }
    }
    let mut there: Vec<String> = std::fs::read_dir(stored())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("segment"))
        .collect();
    there.sort();
    assert_eq!(names, there, "the files that a closed log consists of");
    for name in &names {
        let golden = std::fs::read(stored().join(name)).unwrap();
        let made = without_pid(name, lab.read(name));
        let differs = made.iter().zip(&golden).position(|(a, b)| a != b);
        assert_eq!((differs, made.len()), (None, golden.len()), "{name} differs");
    }
}

fn load() -> Lab {
    let lab = Lab::new(SyncStrategy::Always, 600);
    for entry in std::fs::read_dir(stored()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("segment") {
            lab.write(&name, &std::fs::read(entry.path()).unwrap());
        }
    }
    lab
}

/// "What one version wrote, every later one reads."
#[test]
fn the_stored_files_open() {
    let lab = load();
    let bytes = ManifestBytes::of(&lab);
    assert!(bytes.mark(0).is_some() && bytes.mark(1).is_some(), "marks in both slots");
    assert_eq!(read_only(&lab.reader()), (2, held()));
    let wal = lab.open();
    let Recovery { origin, cut, .. } = wal.recovery();
    assert_eq!((origin, cut), (walden::Origin::Clean, None));
    assert_eq!(entries(&wal), (2, held()));
    assert_eq!(wal.meta("vote").unwrap(), b"node 3, term 7");
    let info = wal.segments().unwrap();
    let last = info[info.len() - 2].last_append.expect("an index that is believed");
    assert!(last <= lab.clock.now() + std::time::Duration::from_secs(10));
    assert_eq!(wal.append(payload(18)).unwrap(), 18);
}
