//! What a history consists of: steps that are plain data, each with all that it needs, so that leaving some
//! out does not change what the others do.

use std::fmt;
use std::time::Duration;

use walden::{Compression, SyncStrategy};

use crate::num::size;
use crate::{Fault, Rng, SectorTear};

/// How a log and its disk are set up for a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "tests build their own")]
pub struct Setup {
    /// Decides on ids, and on what the steps leave open.
    pub seed: u64,
    /// The log's strategy, until a step changes it.
    pub strategy: SyncStrategy,
    /// The log's segment size.
    pub segment_size: u64,
    /// The log's buffer.
    pub buffer_size: u64,
    /// Batches as separate records.
    pub separate: bool,
    /// How what is appended is stored.
    pub compression: Compression,
    /// What a power cut does to a sector.
    pub tear: SectorTear,
    /// Whether the filesystem can reserve space.
    pub allocates: bool,
}

impl Setup {
    /// A log in small segments on a disk without a limit.
    #[must_use]
    pub const fn new(strategy: SyncStrategy, segment_size: u64) -> Self {
        Self {
            seed: 7,
            strategy,
            segment_size,
            buffer_size: 256,
            separate: false,
            compression: Compression::None,
            tear: SectorTear::Whole,
            allocates: true,
        }
    }
}

/// A step of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "tests build their own")]
pub struct Step {
    /// Its number in the history it was made for: payloads and what the step leaves open come from it.
    pub id: u64,
    /// What is done.
    pub op: Op,
}

/// What is done to a log, its disk, or both. Places in the log are in thousandths of its length, so that they
/// fit whatever the log holds by then.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "fields are what they are called")]
pub enum Op {
    /// One entry.
    Append { len: usize },
    /// One entry in several parts.
    AppendParts { len: usize, parts: usize },
    /// A batch.
    Batch { count: usize, len: usize },
    /// An entry, or a batch if `count` is not 1, without waiting; the ticket is kept.
    Submit { count: usize, len: usize },
    /// Waits for the oldest ticket that is kept.
    Wait,
    /// Makes all durable.
    Sync,
    /// Hands all to the kernel.
    Flush,
    /// A round of maintenance.
    Tick,
    /// Time passes, then a round of maintenance.
    Pass { millis: u64 },
    /// The time of day jumps.
    ClockJump { seconds: i64 },
    /// Cuts the front.
    Front { at: u64 },
    /// Cuts the back.
    Back { at: u64 },
    /// Empties the log; it goes on elsewhere.
    Reset { next: u64 },
    /// Retention by number, bytes or age.
    Retain { segments: Option<u64>, bytes: Option<u64>, seconds: Option<u64> },
    /// A consumer commits as far as here; where its position is no more, it goes here.
    Consume { at: u64 },
    /// Its cursor goes here, forwards or backwards.
    SeekCursor { at: u64 },
    /// Its cursor is removed.
    RemoveCursor,
    /// Stores a small value.
    Meta { len: usize },
    /// Reads here, in both directions, and looks for what is not there.
    Read { at: u64 },
    /// Places a reader, a follower and a reader of another process, to be moved by `Look`.
    Hold { at: u64 },
    /// Moves what was placed, and looks at all tickets.
    Look { steps: usize },
    /// Another process reads everything.
    Beside,
    /// Ships frames to a copy of the log on another machine, which may lose power then.
    Ship { overlap: u64, cut: bool },
    /// Closes the log and opens it, with another strategy.
    Reopen { strategy: SyncStrategy },
    /// Closes the log, copies the folder away, and opens it.
    Backup,
    /// The copy that was put away takes the folder's place.
    Restore,
    /// An empty disk takes the disk's place, and the log is made on it: the openings before the last one end in the
    /// middle.
    Afresh { openings: Vec<Opening> },
    /// Room for so many more blocks on the disk; `None`: no limit.
    Room { blocks: Option<u64> },
    /// A bit rots, on a copy of the disk that is then looked at.
    Rot { at: u64, bit: u64 },
    /// A rule for the disk, and what is done if the log fails by it.
    Fault { rule: Fault, then: Crash },
    /// No more faults.
    Heal,
    /// A power cut or a kill, now.
    Crash(Crash),
    /// The same, at a call of the disk from now, in the middle of whatever goes on then.
    CrashIn { calls: u64, torn: usize, crash: Crash },
}

/// How a machine or a process ends, and what befalls it when it opens the log again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "tests build their own")]
pub struct Crash {
    /// The process ends; else power is cut.
    pub kill: bool,
    /// Decides what a power cut leaves ([`CrashPlan::seeded`](crate::CrashPlan::seeded)).
    pub plan: u64,
    /// At a kill, the kernel forgets what failed to be synced.
    pub evict: bool,
    /// A copy of what is left is first opened in `RecoveryMode::Strict`.
    pub strict: bool,
    /// What befalls the openings that follow, one by one; the one after that is left alone.
    pub openings: Vec<Opening>,
}

/// What befalls an opening.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "tests build their own")]
pub struct Opening {
    /// It ends at this call of the disk.
    pub calls: Option<u64>,
    /// It meets this fault.
    pub rule: Option<Fault>,
    /// Then the process ends; else power is cut.
    pub kill: bool,
    /// Decides what a power cut leaves.
    pub plan: u64,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>3}: ", self.id)?;
        match &self.op {
            Op::Fault { rule, then } => write!(f, "from here on {rule}; if the log fails: {then}"),
            Op::Crash(crash) => write!(f, "{crash}"),
            Op::CrashIn { calls, torn: 0, crash } => write!(f, "in {calls} calls: {crash}"),
            Op::CrashIn { calls, torn, crash } => {
                write!(f, "in {calls} calls, {torn} bytes into it: {crash}")
            }
            op => write!(f, "{op:?}"),
        }
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kill, self.evict) {
            (true, false) => f.write_str("kill")?,
            (true, true) => f.write_str("kill, and the cache drops what failed")?,
            (false, _) => write!(f, "power cut (plan {})", self.plan)?,
        }
        for Opening { calls, rule, kill, plan } in &self.openings {
            f.write_str(", opening")?;
            if let Some(calls) = calls {
                write!(f, " ends at call {calls}")?;
            }
            if let Some(rule) = rule {
                write!(f, " while {rule}")?;
            }
            if *kill {
                f.write_str(" by a kill")?;
            } else {
                write!(f, " by a power cut (plan {plan})")?;
            }
        }
        Ok(())
    }
}

impl Step {
    /// Chance of the step's own.
    pub(crate) const fn rng(&self, seed: u64) -> Rng {
        Rng::new(seed.wrapping_add(self.id.wrapping_mul(0x9e37_79b9_97f4_a7c5)))
    }

    /// The payload of its nth entry: no other entry of the history has it.
    pub(crate) fn payload(&self, nth: usize, len: usize) -> Vec<u8> {
        let mut payload = format!("{}.{nth}/", self.id).into_bytes();
        let salt = self.id.wrapping_mul(31).wrapping_add(size(nth));
        while payload.len() < len {
            let byte = salt.wrapping_mul(size(payload.len()));
            payload.push(u8::try_from(byte & 0xff).unwrap_or_default());
        }
        payload
    }
}

impl Op {
    /// How long time passes.
    pub(crate) const fn passing(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }
}
