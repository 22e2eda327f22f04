//! A log of many GiB that takes little room: its payloads are zeros, and where they lie the files get holes.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use rustix::fs::FallocateFlags;
use walden::{Config, Wal};

use super::{percentiles, table};
use crate::figures::{Latencies, Result};
use crate::machine;

const PAYLOAD: usize = 1 << 20;
const SEGMENT: u64 = 1 << 30;
const LOOKUPS: u64 = 2000;

/// Makes one in a process of its own, and looks at it in another: so neither has the other's memory.
pub(super) fn run(dir: &Path, gib: u64) -> Result<String> {
    let scratch = crate::scratch(dir)?;
    let part = |part: &str| -> Result<String> {
        let gib = gib.to_string();
        let output = Command::new(std::env::current_exe()?)
            .args(["scale", "sparse", part, "--gib", &gib, "--dir"])
            .arg(scratch.path())
            .output()?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into())
        }
    };
    part("--make")?;
    part("--look")
}

fn log(dir: &Path) -> PathBuf {
    dir.join("walden")
}

fn config() -> Config {
    Config::os_cache().segment_size(SEGMENT)
}

/// Appends, and gives the disk back what lies in sealed segments before much of it is there.
pub(super) fn make(dir: &Path, gib: u64) -> Result<()> {
    let wal = Wal::open(log(dir), config())?;
    let payload = vec![0; PAYLOAD];
    let mut holed = 0;
    for i in 0..gib << 10 {
        wal.append(&payload)?;
        if i % 1024 == 1023 {
            let sealed: Vec<_> =
                wal.segments()?.into_iter().filter(|segment| segment.sealed).collect();
            for segment in sealed.iter().skip(holed) {
                punch(&segment.path)?;
            }
            holed = sealed.len();
        }
    }
    Ok(wal.close()?)
}

/// Of each payload all whole blocks but the first and the last.
fn punch(path: &Path) -> Result<()> {
    const BLOCK: u64 = 4096;
    let file = File::options().write(true).open(path)?;
    let payload = u64::try_from(PAYLOAD)?;
    let record = payload + u64::try_from(crate::baseline::OVERHEAD)?;
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    for at in 0..file.metadata()?.len() / record {
        let begin = (at * record).next_multiple_of(BLOCK) + BLOCK;
        let end = (at * record + payload) / BLOCK * BLOCK - BLOCK;
        rustix::fs::fallocate(&file, flags, begin, end - begin)?;
    }
    Ok(())
}

pub(super) fn look(dir: &Path) -> Result<String> {
    let dir = log(dir);
    let (mut len, mut blocks) = (0, 0);
    for entry in std::fs::read_dir(&dir)? {
        let metadata = entry?.metadata()?;
        len += metadata.len();
        blocks += metadata.blocks() * 512;
    }
    let begun = Instant::now();
    let wal = Wal::open(&dir, config())?;
    let opened = begun.elapsed();
    let resident = machine::most_resident().unwrap_or_default();
    let (gets, seeks) = (lookups(&wal, false)?, lookups(&wal, true)?);
    let segments = wal.segments()?.len();
    let after = machine::most_resident().unwrap_or_default();
    wal.close()?;
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    Ok(table(
        &format!("{}, {segments} segments", gib(len)),
        &[
            ("on disk", gib(blocks)),
            ("opened", format!("{:.2} ms", opened.as_secs_f64() * 1e3)),
            ("most memory at opening", format!("{resident:.1} MiB")),
            ("`get` of an entry of 1 MiB, p50 and p99", gets),
            ("`seek`, and the entry there, p50 and p99", seeks),
            ("most memory after them", format!("{after:.1} MiB")),
        ],
    ))
}

/// Entries all over the log, in an order that no cache guesses; each is read, and its checksum verified.
fn lookups(wal: &Wal, seek: bool) -> Result<String> {
    let (first, next) = (wal.first_seq(), wal.next_seq());
    let mut latencies = Latencies::new()?;
    let mut reader = wal.reader();
    let mut seq = first;
    for _ in 0..LOOKUPS {
        seq = first + (seq * 6_364_136_223 + 1_442_695_041) % (next - first);
        let begun = Instant::now();
        let found = if seek {
            reader.seek(seq)?;
            reader.read_next()?.map(|entry| (entry.seq, entry.payload.len()))
        } else {
            wal.get(seq)?.map(|entry| (entry.seq, entry.payload.len()))
        };
        latencies.record(begun.elapsed());
        if found != Some((seq, PAYLOAD)) {
            return Err(format!("entry {seq} is not there").into());
        }
    }
    let (p50, p99) = percentiles(&latencies);
    Ok(format!("{p50:.0} µs, {p99:.0} µs"))
}
