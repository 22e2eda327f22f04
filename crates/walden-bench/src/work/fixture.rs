//! Logs that are made once and read in every round.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use walden::{Config, Wal};

use super::log_of;
use crate::baseline::noise;
use crate::figures::Result;
use crate::subject::Fixture;

/// How much is appended before the process is killed: under `OsCache`, with no sync in between.
const KILLED_BYTES: usize = 32 << 20;

/// The settings with which a fixture is made and opened.
pub(crate) fn config(fixture: &Fixture) -> Config {
    Config::os_cache().segment_size(fixture.segment_mib << 20)
}

/// Makes the log if it is not there.
pub(crate) fn make(fixtures: &Path, fixture: &Fixture) -> Result<()> {
    let dir = log_of(fixtures, fixture);
    if dir.exists() {
        return Ok(());
    }
    // Made under another name: what a broken run left is not taken for whole.
    let unfinished = dir.with_extension("unfinished");
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished)?;
    }
    let config = Config::background().segment_size(fixture.segment_mib << 20);
    let wal = Wal::open(&unfinished, config)?;
    let payload = noise(fixture.payload);
    let batch = vec![payload.as_slice(); fixture.batch];
    let mut left = fixture.records;
    while left > 0 {
        if fixture.batch == 1 {
            wal.append(&payload)?;
        } else {
            wal.append_batch(&batch)?;
        }
        left = left.saturating_sub(fixture.batch as u64);
    }
    wal.close()?;
    drop(wal);
    Ok(std::fs::rename(unfinished, dir)?)
}

/// Opens the log, appends to it, says so, and waits to be killed.
pub(crate) fn append_and_wait(fixtures: &Path, fixture: &Fixture) -> Result<()> {
    let config = config(fixture).sync_interval(std::time::Duration::from_secs(3600));
    let wal = Wal::open(log_of(fixtures, fixture), config)?;
    let payload = noise(fixture.payload);
    for _ in 0..KILLED_BYTES / (fixture.payload + crate::baseline::OVERHEAD) {
        wal.append(&payload)?;
    }
    std::io::stdout().write_all(b"appended\n")?;
    std::io::stdout().flush()?;
    // Until the parent is gone or kills this process.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Has another process append to the log, and kills it.
pub(super) fn kill_a_writer(fixtures: &Path, fixture: &Fixture) -> Result<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["fixture", "--kill-me", "--fixtures"])
        .arg(fixtures)
        .arg(serde_json::to_string(fixture)?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = [0; 9];
    let heard = child.stdout.take().map(|mut out| out.read_exact(&mut said));
    child.kill()?;
    child.wait()?;
    match heard {
        Some(Ok(())) if &said == b"appended\n" => Ok(()),
        _ => Err("the process that was to be killed did not get that far".into()),
    }
}
