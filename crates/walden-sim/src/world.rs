//! What every call passes first: the count, the faults, the end of the world, and the log of it all.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::fault::{Action, ENOSPC, Fault, OpKind};

/// Older lines of the log than this are dropped.
const MAX_LOG: usize = 1 << 16;

/// The error of all calls once the world has stopped; see [`is_stopped`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated world has stopped")
    }
}

impl std::error::Error for Stopped {}

/// Whether an error says that the world was stopped by [`stop_after`](crate::SimDisk::stop_after) or
/// [`Action::Stop`](crate::Action::Stop), here or in a cause.
#[must_use]
pub fn is_stopped(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<Stopped>() {
            return true;
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

pub(crate) fn stopped() -> io::Error {
    io::Error::other(Stopped)
}

/// A call, as it is logged.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) op: OpKind,
    pub(crate) path: Arc<Path>,
    /// A rename's new name.
    pub(crate) to: Option<Arc<Path>>,
    /// Where it acts in the file, and on how many bytes.
    pub(crate) range: Option<(u64, u64)>,
    pub(crate) mutates: bool,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.op, self.path.display())?;
        if let Some(to) = &self.to {
            write!(f, " to {}", to.display())?;
        }
        match self.range {
            Some((len, _)) if self.op == OpKind::SetLen => write!(f, " {len}"),
            Some((offset, len)) => write!(f, " {offset}+{len}"),
            None => Ok(()),
        }
    }
}

/// Says what is wrong with a call.
type Look = dyn Fn(&Call) -> Option<String> + Send + Sync;

/// Who looks at each call as it is made.
#[derive(Clone)]
pub(crate) struct Watch(pub(crate) Arc<Look>);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// How a call goes.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// It acts on so many bytes at most.
    pub(crate) limit: Option<usize>,
    /// It fails then.
    pub(crate) error: Option<io::Error>,
    /// It takes so long.
    pub(crate) delay: Duration,
    /// This bit of the range has rotted.
    pub(crate) rot: Option<u64>,
    /// It does not even take part in the world's end.
    pub(crate) stopped: bool,
}

impl Verdict {
    /// For calls that happen or don't.
    pub(crate) fn check(self) -> io::Result<()> {
        self.error.map_or(Ok(()), Err)
    }

    fn stop(torn: usize) -> Self {
        Self { limit: Some(torn), error: Some(stopped()), stopped: true, ..Self::default() }
    }
}

/// Whether a log need not survive that this call fails: a sync, a change that fails for another reason than room, or one
/// of the manifest, which has its room from the beginning.
fn is_fatal(call: &Call, code: i32) -> bool {
    let manifest = call.path.extension().is_some_and(|ending| ending == "manifest");
    let full = code == ENOSPC && !(manifest && call.op == OpKind::Write);
    call.op.syncs() || (call.op.mutates() && !full)
}

#[derive(Debug, Clone)]
enum Line {
    Note(String),
    Call { number: u64, call: Call, action: Option<String> },
}

#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) faults: Vec<Fault>,
    pub(crate) mutations: u64,
    /// How many bytes were read.
    pub(crate) read: u64,
    /// How many calls met a fault.
    pub(crate) met: u64,
    /// How many calls failed by one.
    pub(crate) failed: u64,
    /// How many of those a log need not survive.
    pub(crate) fatal: u64,
    pub(crate) stopped: bool,
    /// The mutation that stops the world, and how many bytes of it happen if it is a write.
    pub(crate) stop_at: Option<(u64, usize)>,
    pub(crate) watch: Option<Watch>,
    /// The first thing that the watch said.
    pub(crate) seen: Option<String>,
    log: VecDeque<Line>,
}

impl World {
    pub(crate) fn begun(note: String) -> Self {
        Self { log: VecDeque::from([Line::Note(note)]), ..Self::default() }
    }

    pub(crate) fn meet(&mut self, call: Call) -> Verdict {
        if self.stopped {
            return Verdict::stop(0);
        }
        if self.seen.is_none() {
            self.seen = self.watch.as_ref().and_then(|watch| watch.0(&call));
        }
        if call.mutates {
            self.mutations += 1;
        }
        if let Some((at, torn)) = self.stop_at
            && call.mutates
            && self.mutations >= at
        {
            self.stopped = true;
            let what = if torn > 0 && call.op == OpKind::Write {
                format!("the world stops after {torn} bytes")
            } else {
                "the world stops before it".to_owned()
            };
            self.push(call, Some(what));
            return Verdict::stop(torn);
        }
        let mut paths = vec![&*call.path];
        paths.extend(call.to.as_deref());
        let mut hit = None;
        let mut delay = Duration::ZERO;
        for fault in &mut self.faults {
            // All of them count; the first whose turn it is acts.
            match fault.meet(call.op, &paths) {
                Some(Action::Slow(by)) => delay = delay.saturating_add(by),
                action => hit = hit.or(action),
            }
        }
        if hit.is_some() || !delay.is_zero() {
            self.met += 1;
        }
        if let Some(Action::Error(code) | Action::Torn(_, code)) = hit {
            self.failed += 1;
            self.fatal += u64::from(is_fatal(&call, code));
        }
        if call.mutates || hit.is_some() {
            self.push(call, hit.map(|action| action.to_string()));
        }
        let ending = |limit| Verdict { limit: Some(limit), delay, ..Verdict::default() };
        let failing = |limit, code| Verdict {
            error: Some(io::Error::from_raw_os_error(code)),
            ..ending(limit)
        };
        match hit {
            None | Some(Action::Slow(_)) => Verdict { delay, ..Verdict::default() },
            Some(Action::Rot(bit)) => Verdict { rot: Some(bit), delay, ..Verdict::default() },
            Some(Action::Short(n)) => ending(n),
            Some(Action::Error(code)) => failing(0, code),
            Some(Action::Torn(n, code)) => failing(n, code),
            Some(Action::Stop) => {
                self.stopped = true;
                Verdict::stop(0)
            }
        }
    }

    pub(crate) fn note(&mut self, note: String) {
        self.line(Line::Note(note));
    }

    pub(crate) fn words(&self) -> Vec<String> {
        self.last_words(usize::MAX)
    }

    pub(crate) fn last_words(&self, count: usize) -> Vec<String> {
        let words = |line: &Line| match line {
            Line::Note(note) => note.clone(),
            Line::Call { number, call, action: None } => format!("{number}: {call}"),
            Line::Call { number, call, action: Some(action) } => {
                format!("{number}: {call}: {action}")
            }
        };
        self.log.iter().skip(self.log.len().saturating_sub(count)).map(words).collect()
    }

    fn push(&mut self, call: Call, action: Option<String>) {
        self.line(Line::Call { number: self.mutations, call, action });
    }

    fn line(&mut self, line: Line) {
        if self.log.len() >= MAX_LOG {
            self.log.pop_front();
        }
        self.log.push_back(line);
    }
}
