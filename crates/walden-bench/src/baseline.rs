//! The bare loops: the least that a log with this format could do.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A record of the format, encoded into `out`.
#[expect(clippy::big_endian_bytes, reason = "the format is the Go library's")]
pub(crate) fn encode(out: &mut Vec<u8>, seq: u64, payload: &[u8]) {
    let start = out.len();
    let size = (payload.len() as u64).to_be_bytes();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&size);
    out.extend_from_slice(&seq.to_be_bytes());
    out.extend_from_slice(payload);
    let crc = crc32c::crc32c(out.get(start + 4..).unwrap_or_default());
    if let Some(field) = out.get_mut(start..start + 4) {
        field.copy_from_slice(&crc.to_be_bytes());
    }
    out.extend_from_slice(&size);
}

/// One thread: encode `batch` records, one `write`, and perhaps an `fdatasync`.
pub(crate) fn write_loop(
    dir: &Path,
    seconds: f64,
    payload: usize,
    batch: usize,
    sync: bool,
) -> io::Result<f64> {
    let path = dir.join("bare");
    let mut file = File::create(&path)?;
    let payload = vec![7; payload];
    let mut buffer = Vec::new();
    let mut count = 0_u64;
    let begun = Instant::now();
    let limit = Duration::from_secs_f64(seconds);
    while begun.elapsed() < limit {
        for _ in 0..steps(sync) {
            buffer.clear();
            for _ in 0..batch {
                count += 1;
                encode(&mut buffer, count, &payload);
            }
            file.write_all(&buffer)?;
            if sync {
                file.sync_data()?;
            }
        }
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

/// One thread: `pwrite` into space that was filled with zeros before, then `fdatasync`.
pub(crate) fn prewritten_loop(dir: &Path, seconds: f64, payload: usize) -> io::Result<f64> {
    let path = dir.join("bare-prewritten");
    let file = File::create(&path)?;
    const SPACE: u64 = 10 << 20;
    for page in 0..SPACE / 4096 {
        file.write_all_at(&[0; 4096], page * 4096)?;
    }
    file.sync_all()?;
    let payload = vec![7; payload];
    let mut buffer = Vec::new();
    let (mut count, mut at) = (0_u64, 0_u64);
    let begun = Instant::now();
    let limit = Duration::from_secs_f64(seconds);
    while begun.elapsed() < limit {
        count += 1;
        buffer.clear();
        encode(&mut buffer, count, &payload);
        if at + buffer.len() as u64 > SPACE {
            at = 0;
        }
        file.write_all_at(&buffer, at)?;
        at += buffer.len() as u64;
        file.sync_data()?;
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

/// Several threads, one mutex, one `write` each.
pub(crate) fn mutex_loop(
    dir: &Path,
    seconds: f64,
    threads: usize,
    payload: usize,
) -> io::Result<f64> {
    let path = dir.join("bare-mutex");
    let shared = Mutex::new((File::create(&path)?, 0_u64, Vec::new()));
    let payload = vec![7; payload];
    let begun = Instant::now();
    let limit = Duration::from_secs_f64(seconds);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while begun.elapsed() < limit {
                    for _ in 0..64 {
                        let mut guard = shared.lock().unwrap_or_else(PoisonError::into_inner);
                        let (file, count, buffer) = &mut *guard;
                        *count += 1;
                        buffer.clear();
                        encode(buffer, *count, &payload);
                        drop(file.write_all(buffer));
                    }
                }
            });
        }
    });
    let count = shared.lock().unwrap_or_else(PoisonError::into_inner).1;
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

#[derive(Default)]
struct Group {
    buffer: Vec<u8>,
    appended: u64,
    durable: u64,
    syncing: bool,
}

/// The simplest group commit: who finds nobody syncing writes and syncs for all that came by then.
pub(crate) fn group_commit(
    dir: &Path,
    seconds: f64,
    threads: usize,
    payload: usize,
) -> io::Result<f64> {
    let path = dir.join("bare-group");
    let mut file = File::create(&path)?;
    file.flush()?;
    let group = Mutex::new(Group::default());
    let changed = Condvar::new();
    let payload = vec![7; payload];
    let begun = Instant::now();
    let limit = Duration::from_secs_f64(seconds);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut spare = Vec::new();
                while begun.elapsed() < limit {
                    let mut state = group.lock().unwrap_or_else(PoisonError::into_inner);
                    state.appended += 1;
                    let mine = state.appended;
                    encode(&mut state.buffer, mine, &payload);
                    while state.durable < mine {
                        if state.syncing {
                            state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                            continue;
                        }
                        state.syncing = true;
                        std::mem::swap(&mut state.buffer, &mut spare);
                        let target = state.appended;
                        drop(state);
                        drop((&file).write_all(&spare).and_then(|()| file.sync_data()));
                        spare.clear();
                        state = group.lock().unwrap_or_else(PoisonError::into_inner);
                        state.syncing = false;
                        state.durable = target;
                        changed.notify_all();
                    }
                }
            });
        }
    });
    let count = group.lock().unwrap_or_else(PoisonError::into_inner).durable;
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

/// Reads records back from one file of `count` records, every checksum verified; records a second.
pub(crate) fn read_loop(dir: &Path, seconds: f64, payload: usize) -> io::Result<f64> {
    let path = dir.join("bare-read");
    let mut bytes = Vec::new();
    for seq in 1..=100_000 {
        encode(&mut bytes, seq, &vec![7; payload]);
    }
    std::fs::write(&path, &bytes)?;
    let len = 28 + payload;
    let per_read = (256 << 10) / len;
    let mut window = vec![0; per_read * len];
    let mut count = 0_u64;
    let begun = Instant::now();
    let limit = Duration::from_secs_f64(seconds);
    while begun.elapsed() < limit {
        let file = File::open(&path)?;
        let mut at = 0;
        loop {
            let got = file.read_at(&mut window, at)?;
            if got < len {
                break;
            }
            for record in window.get(..got).unwrap_or_default().chunks_exact(len) {
                let crc = crc32c::crc32c(record.get(4..len - 8).unwrap_or_default());
                std::hint::black_box(crc);
                count += 1;
                at += len as u64;
            }
        }
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}

/// How many records between two looks at the clock.
const fn steps(sync: bool) -> usize {
    if sync { 1 } else { 256 }
}
