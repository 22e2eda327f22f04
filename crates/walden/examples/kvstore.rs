//! A small key-value store that survives `kill -9` and power loss: every change goes to the log first, the
//! state is rebuilt by replay, and a checkpoint keeps the log short.
//!
//! `cargo run --example kvstore -- DIR set KEY VALUE`, `get KEY`, `del KEY`, `list`, `checkpoint`;
//! without arguments it plays a short story in a temporary folder.
//!
//! The order in `checkpoint` is what makes it safe: the log is synced before the checkpoint names a seq id
//! of it, the checkpoint is durable before the log in front of it goes.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use walden::{Config, Wal};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// `None` is a deletion.
type Change<'a> = (&'a [u8], Option<&'a [u8]>);

struct Store {
    wal: Wal,
    map: Map,
    checkpoint: PathBuf,
}

impl Store {
    /// Loads the checkpoint and replays what the log has behind it.
    fn open(dir: &Path) -> io::Result<Self> {
        let wal = Wal::open(dir.join("log"), Config::durable().segment_size(1 << 20))?;
        let checkpoint = dir.join("checkpoint");
        let (next, mut map) = load(&checkpoint)?;
        let mut replayed = 0;
        for entry in wal.range(next.max(wal.first_seq())..)? {
            apply(&mut map, &entry?.payload)?;
            replayed += 1;
        }
        println!("opened: {} keys, {replayed} changes replayed", map.len());
        Ok(Self { wal, map, checkpoint })
    }

    /// Durable once this returns.
    fn change(&mut self, change: Change<'_>) -> io::Result<()> {
        let record = encode(change);
        self.wal.append(&record)?;
        apply(&mut self.map, &record)
    }

    /// Writes the whole map beside the log, then lets go of the log in front of it.
    fn checkpoint(&self) -> io::Result<()> {
        self.wal.sync()?;
        let next = self.wal.next_seq();
        let tmp = self.checkpoint.with_extension("tmp");
        let mut file = File::create(&tmp)?;
        let mut bytes = next.to_le_bytes().to_vec();
        for (key, value) in &self.map {
            let record = encode((key, Some(value)));
            bytes.extend_from_slice(
                &u32::try_from(record.len()).map_err(io::Error::other)?.to_le_bytes(),
            );
            bytes.extend_from_slice(&record);
        }
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&tmp, &self.checkpoint)?;
        let dir = self.checkpoint.parent().unwrap_or_else(|| Path::new("."));
        File::open(dir)?.sync_all()?;
        self.wal.truncate_front(next)?;
        println!("checkpoint of {} keys; the log begins at {next} now", self.map.len());
        Ok(())
    }
}

fn encode((key, value): Change<'_>) -> Vec<u8> {
    let mut record = vec![u8::from(value.is_some())];
    record.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
    record.extend_from_slice(key);
    record.extend_from_slice(value.unwrap_or_default());
    record
}

fn apply(map: &mut Map, record: &[u8]) -> io::Result<()> {
    let parse = || {
        let (kind, rest) = record.split_first()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (key, value) =
            rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
        Some((*kind, key.to_vec(), value.to_vec()))
    };
    match parse().ok_or(io::ErrorKind::InvalidData)? {
        (1, key, value) => map.insert(key, value),
        (_, key, _) => map.remove(&key),
    };
    Ok(())
}

fn load(path: &Path) -> io::Result<(u64, Map)> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((1, Map::new())),
        Err(error) => return Err(error),
    };
    let mut map = Map::new();
    let (next, mut rest) = bytes.split_first_chunk::<8>().ok_or(io::ErrorKind::InvalidData)?;
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let len = usize::try_from(u32::from_le_bytes(*len)).map_err(io::Error::other)?;
        let (record, tail) = tail.split_at_checked(len).ok_or(io::ErrorKind::InvalidData)?;
        apply(&mut map, record)?;
        rest = tail;
    }
    Ok((u64::from_le_bytes(*next), map))
}

fn story() -> io::Result<()> {
    let dir = std::env::temp_dir().join(format!("walden-kvstore-{}", std::process::id()));
    let mut store = Store::open(&dir)?;
    for (key, value) in [("pond", "Walden"), ("author", "Thoreau"), ("year", "1854")] {
        store.change((key.as_bytes(), Some(value.as_bytes())))?;
    }
    store.checkpoint()?;
    store.change((b"year", None))?;
    drop(store);
    let store = Store::open(&dir)?;
    for (key, value) in &store.map {
        println!("{} = {}", String::from_utf8_lossy(key), String::from_utf8_lossy(value));
    }
    drop(store);
    fs::remove_dir_all(&dir)
}

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [dir, command @ ..] = args.as_slice() else { return story() };
    fs::create_dir_all(dir)?;
    let mut store = Store::open(Path::new(dir))?;
    match command {
        ["set", key, value] => store.change((key.as_bytes(), Some(value.as_bytes()))),
        ["del", key] => store.change((key.as_bytes(), None)),
        ["checkpoint"] => store.checkpoint(),
        ["get", key] => {
            let value = store.map.get(key.as_bytes()).map(|value| String::from_utf8_lossy(value));
            println!("{}", value.as_deref().unwrap_or("(none)"));
            Ok(())
        }
        ["list"] => {
            for (key, value) in &store.map {
                println!("{} = {}", String::from_utf8_lossy(key), String::from_utf8_lossy(value));
            }
            Ok(())
        }
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "usage: kvstore DIR (set KEY VALUE | get KEY | del KEY | list | checkpoint)",
        )),
    }
}
