//! The process that the demonstration kills: appends from several threads, and says so after each append.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

use clap::Args;
use walden::{Config, Wal};

use super::source::Corpus;
use crate::exit::{Code, Failure};

/// Small, so that crashes meet the change of segments too.
pub(super) const SEGMENT: u64 = 256 << 10;

#[derive(Debug, Args)]
pub(crate) struct DemoWriter {
    pub(super) dir: PathBuf,
    pub(super) lines: PathBuf,
    pub(super) round: u64,
    pub(super) threads: u64,
}

pub(super) fn config() -> Config {
    Config::durable().segment_size(SEGMENT)
}

/// The record number `n` of a thread: unlike any other, and a line of real text.
pub(super) fn payload(lines: &[String], name: Name, threads: u64) -> Option<String> {
    let count = u64::try_from(lines.len()).ok()?;
    let at = name.n.checked_mul(threads)?.checked_add(name.thread)?.checked_rem(count)?;
    let line = lines.get(usize::try_from(at).ok()?)?;
    Some(format!("{}.{}.{} {line}", name.round, name.thread, name.n))
}

/// Which record it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) round: u64,
    pub(super) thread: u64,
    pub(super) n: u64,
}

impl Name {
    pub(super) fn of(payload: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(payload).ok()?;
        let mut parts = text.split_once(' ')?.0.split('.').map(str::parse::<u64>);
        let mut part = || parts.next()?.ok();
        Some(Self { round: part()?, thread: part()?, n: part()? })
    }
}

impl DemoWriter {
    /// Appends until it is killed, or nobody listens.
    pub(crate) fn run(self) -> Result<Code, Failure> {
        let lines = Corpus::load(&self.lines)
            .map_err(|error| Failure::io("read the lines", &error).path(&self.lines))?;
        let wal = Wal::open(&self.dir, config())?;
        let stdout = Mutex::new(io::stdout());
        let first = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads)
                .map(|thread| {
                    scope.spawn({
                        let (this, wal, lines, stdout) = (&self, &wal, &lines, &stdout);
                        move || this.append(thread, wal, lines, stdout)
                    })
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()?.err()).next()
        });
        first.map_or(Ok(Code::Fine), Err)
    }

    fn append(
        &self,
        thread: u64,
        wal: &Wal,
        lines: &[String],
        stdout: &Mutex<io::Stdout>,
    ) -> Result<(), Failure> {
        for n in 0.. {
            let name = Name { round: self.round, thread, n };
            let Some(payload) = payload(lines, name, self.threads) else { break };
            let seq = wal.append(&payload)?;
            // Only now that it is durable may anyone be told.
            let told = format!("{seq} {}\n", crc32c::crc32c(payload.as_bytes()));
            let Ok(mut stdout) = stdout.lock() else { break };
            stdout.write_all(told.as_bytes()).map_err(|error| Failure::stdout(&error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_tells_which_it_is() {
        let lines = ["a".to_owned(), "b b".to_owned()];
        let name = Name { round: 1, thread: 2, n: 3 };
        let text = payload(&lines, name, 3).unwrap();
        assert_eq!(text, "1.2.3 b b");
        assert_eq!(Name::of(text.as_bytes()), Some(name));
        for other in ["", "1.2.3", "1.2 x", "a.b.c x"] {
            assert_eq!(Name::of(other.as_bytes()), None, "{other}");
        }
        assert_eq!(payload(&[], name, 3), None);
    }
}
