//! Peers in other languages: each a program of its own, built from what lies in `go/` and `rocksdb/` beside this crate's
//! sources, and named by a variable of the environment, since most machines have neither. It does the whole of a piece of
//! work, measures itself, and prints how many records that were and how many nanoseconds they took.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Facts;
use crate::figures::{Figures, Result};
use crate::subject::Peer;
use crate::work::append::Load;
use crate::work::clock::rates;

const ALL: [Peer; 2] = [Peer::Go, Peer::RocksDb];

/// The variable with the path of the program, if the peer is one.
const fn variable(peer: Peer) -> Option<&'static str> {
    match peer {
        Peer::Go => Some("WALDEN_BENCH_GO"),
        Peer::RocksDb => Some("WALDEN_BENCH_ROCKSDB"),
        _ => None,
    }
}

pub(super) const fn is_one(peer: Peer) -> bool {
    variable(peer).is_some()
}

pub(super) fn at_hand() -> impl Iterator<Item = Peer> {
    ALL.into_iter().filter(|peer| program(*peer).is_ok())
}

fn program(peer: Peer) -> Result<PathBuf> {
    let name = peer.name();
    let variable = variable(peer).ok_or_else(|| format!("{name} is no program of its own"))?;
    let path = std::env::var_os(variable).filter(|path| !path.is_empty());
    Ok(path.map(PathBuf::from).ok_or_else(|| format!("{name}: {variable} names no program"))?)
}

/// What `program` prints, told to do this in `dir`.
fn told(program: &Path, work: &str, dir: Option<&Path>, args: &str) -> Result<String> {
    let mut command = Command::new(program);
    command.arg(work).args(dir).args(args.split_whitespace()).stdin(Stdio::null());
    let done = command.output().map_err(|error| format!("{}: {error}", program.display()))?;
    if !done.status.success() {
        let words = String::from_utf8_lossy(&done.stderr);
        return Err(format!("{}: {}, {}", program.display(), done.status, words.trim()).into());
    }
    Ok(String::from_utf8(done.stdout)?)
}

/// The records that it tells of, and the time that they took.
fn counted(printed: &str) -> Result<(u64, Duration)> {
    let strange = || format!("not a count and nanoseconds: {printed:?}");
    let (count, nanos) = printed.trim().split_once(' ').ok_or_else(strange)?;
    let count = count.parse().map_err(|_| strange())?;
    let nanos = nanos.parse().map_err(|_| strange())?;
    if count == 0 || nanos == 0 {
        return Err(strange().into());
    }
    Ok((count, Duration::from_nanos(nanos)))
}

fn figures(printed: &str, payload: usize) -> Result<Figures> {
    let (count, spent) = counted(printed)?;
    Ok(rates(count, payload, spent))
}

pub(super) fn append(
    dir: &Path,
    peer: Peer,
    durable: bool,
    load: &Load,
    seconds: f64,
) -> Result<Figures> {
    let strategy = if durable { "always" } else { "oscache" };
    let Load { threads, payload, batch, most, .. } = load;
    let args = format!("{strategy} {threads} {payload} {batch} {most} {seconds}");
    figures(&told(&program(peer)?, "append", Some(dir), &args)?, *payload)
}

pub(super) fn read(
    dir: &Path,
    peer: Peer,
    seconds: f64,
    records: u64,
    payload: usize,
) -> Result<Figures> {
    let args = format!("{records} {payload} {seconds}");
    figures(&told(&program(peer)?, "read", Some(dir), &args)?, payload)
}

pub(super) fn facts(peer: Peer) -> Option<Facts> {
    let version = program(peer).and_then(|program| told(&program, "version", None, ""));
    let version = version.map_or_else(|error| error.to_string(), |said| said.trim().to_owned());
    let name = peer.name().to_owned();
    match peer {
        Peer::Go => Some(Facts {
            name,
            version,
            kernel: Some("`SyncStrategyOSCache`: `Flush` of a `bufio.Writer`, wal.go, `runSyncStrategy`".into()),
            durable: Some("`SyncStrategyAlways`: `Flush` and `fsync` under the mutex, wal.go, `sync`".into()),
            checksum: "CRC32C of header and payload".into(),
            notes: "each append syncs by itself; a batch is no unit; a failed write leaves half a record behind".into(),
        }),
        Peer::RocksDb => Some(Facts {
            name,
            version,
            kernel: Some("`WriteOptions::sync = false`: `write` by the leader of a group, db/db_impl/db_impl_write.cc, `WriteToWAL`".into()),
            durable: Some("`WriteOptions::sync = true`: and one `fdatasync` for the group, in the same place".into()),
            checksum: "CRC32C of each fragment".into(),
            notes: "a group commit; records are log data of batches: they go to the log and to no memtable".into(),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_told_what_to_do_and_where() {
        let dir = Path::new("a folder");
        let printed = told(Path::new("echo"), "read", Some(dir), "7 128 0.5").unwrap();
        assert_eq!(printed, "read a folder 7 128 0.5\n");
        let failed = told(Path::new("false"), "read", None, "").unwrap_err().to_string();
        assert!(failed.starts_with("false: exit status: 1"), "{failed}");
        assert!(told(Path::new("/no/such/program"), "read", None, "").is_err());
    }

    #[test]
    fn what_a_program_prints_is_understood_or_refused() {
        assert_eq!(counted("7 1000\n").unwrap(), (7, Duration::from_micros(1)));
        for strange in ["", "7", "7 x", "x 7", "-1 7", "0 7", "7 0", "7 8 9"] {
            assert!(counted(strange).is_err(), "{strange:?}");
        }
    }
}
