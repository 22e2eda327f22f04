//! After the crashes: seeking, following and cutting the same log.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use walden::{ErrorKind, Event, Wal};

use super::{Run, writer};
use crate::exit::Failure;
use crate::size;

const SEEKS: u64 = 2000;
const FOLLOWED: usize = 200;
const CUT_BACK: u64 = 10;

impl Run<'_> {
    /// # Errors
    /// What the log gives, and where it does not do what it should.
    pub(super) fn after(&mut self) -> Result<Value, Failure> {
        self.say("")?;
        let wal = Wal::open(&self.dir, writer::config())?;
        let seek = self.seek(&wal)?;
        self.check()?;
        let follow = self.follow(&wal)?;
        self.check()?;
        let cut = self.cut(&wal)?;
        wal.close()?;
        Ok(json!({ "seek_p50_us": seek, "follow_p50_us": follow, "cut": cut }))
    }

    fn seek(&mut self, wal: &Wal) -> Result<u64, Failure> {
        let (first, next) = (wal.first_seq(), wal.next_seq());
        let mut times = Vec::new();
        for _ in 0..SEEKS {
            let seq = self.random.within(first..next);
            let begun = Instant::now();
            let entry = wal.get(seq)?;
            times.push(begun.elapsed());
            if entry.is_none_or(|entry| entry.seq != seq) {
                return Err(Failure::new(ErrorKind::Corrupt, "another entry came").seq(seq));
            }
        }
        let (half, most) = middle(times);
        self.say(&format!(
            "seek    {} random entries: half within {}, 99% within {}",
            size::count(SEEKS),
            size::time(half),
            size::time(most)
        ))?;
        Ok(micros(half))
    }

    /// From the begin of a durable append to the moment a follower on another thread has it.
    fn follow(&self, wal: &Wal) -> Result<u64, Failure> {
        let mut follower = wal.follow(wal.next_seq())?;
        let listener = thread::spawn(move || {
            let mut came = Vec::new();
            while came.len() < FOLLOWED {
                match follower.next_timeout(Duration::from_secs(5)) {
                    Ok(Some(Event::Entry(entry))) => came.push((entry.seq, Instant::now())),
                    _ => break,
                }
            }
            came
        });
        let mut sent = Vec::new();
        for n in 0..FOLLOWED {
            let begun = Instant::now();
            sent.push((wal.append(format!("followed {n}"))?, begun));
        }
        let came = listener.join().unwrap_or_default();
        let same = came.len() == sent.len() && came.iter().zip(&sent).all(|(a, b)| a.0 == b.0);
        if !same {
            return Err(Failure::new(ErrorKind::Io, "the follower did not get what was appended"));
        }
        let times = came.iter().zip(&sent).map(|(came, sent)| came.1.duration_since(sent.1));
        let (half, most) = middle(times.collect());
        self.say(&format!(
            "follow  {FOLLOWED} appends seen on another thread: half within {}, 99% within {}",
            size::time(half),
            size::time(most)
        ))?;
        Ok(micros(half))
    }

    fn cut(&self, wal: &Wal) -> Result<Value, Failure> {
        let (first, next) = (wal.first_seq(), wal.next_seq());
        let files = wal.segments()?.len();
        let begun = Instant::now();
        let middle = first + (next - first) / 2;
        wal.truncate_front(middle)?;
        let last = next.saturating_sub(CUT_BACK + 1).max(middle);
        wal.truncate_back(last)?;
        let took = begun.elapsed();
        let again = wal.append("after the cut")?;
        let gone = wal.get(middle.saturating_sub(1)).is_err_and(|error| error.is_removed());
        if !gone || again != last + 1 || wal.get(last + 2)?.is_some() {
            return Err(Failure::new(ErrorKind::Io, "what was cut is still there"));
        }
        let left = wal.segments()?.len();
        self.say(&format!(
            "cut     the first {} entries and the last {} in {}: {files} files before, {left} now",
            size::count(middle - first),
            size::count(next - 1 - last),
            size::time(took)
        ))?;
        Ok(json!({ "took_us": micros(took), "files_before": files, "files_after": left }))
    }
}

/// The times that half and 99% of `times` do not pass.
fn middle(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    (at(50), at(99))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
