//! What is known of the log at one moment, and who looks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use walden_inspector::{Sample, Seen, Watch};

use super::text::clean;

/// How many of the latest entries are kept, and how many columns of each.
const LATEST: usize = 50;
const COLUMNS: usize = 400;
/// They are read until there are so many bytes of them, or for so long; the newest one is read in any case.
const BYTES: usize = 1 << 20;
const LONG: Duration = Duration::from_millis(100);
/// Reading them takes a twentieth of the time at most, as large as they may be.
const REST: u32 = 20;

/// All that a screen is made from.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// The log's folder.
    pub(super) name: String,
    pub(super) seen: Arc<Seen>,
    /// What was seen in the last minutes, the oldest first.
    pub(super) samples: Vec<Sample>,
    pub(super) latest: Arc<Latest>,
    /// When it was made.
    pub(super) at: Instant,
}

impl View {
    /// Whether the log could be read once.
    pub(super) fn is_read(&self) -> bool {
        self.seen.next_seq > 0
    }
}

/// The latest entries, the newest first.
#[derive(Debug, Default)]
pub(super) struct Latest {
    pub(super) entries: Vec<Shown>,
    /// Why there are no more of them, if that is an error.
    pub(super) broken: Option<walden::Error>,
}

#[derive(Debug)]
pub(super) struct Shown {
    pub(super) seq: u64,
    pub(super) len: usize,
    /// The payload, made harmless.
    pub(super) text: String,
}

/// Looks at a log. What it keeps is bounded, but for a few words for each segment.
#[derive(Debug)]
pub(super) struct Looker {
    watch: Watch,
    latest: Arc<Latest>,
    /// When the latest entries were read, and how long that took.
    read: Option<(Instant, Duration)>,
}

impl Looker {
    pub(super) fn new(watch: Watch) -> Self {
        let mut looker = Self { watch, latest: Arc::default(), read: None };
        looker.read_latest();
        looker
    }

    /// Looks again.
    pub(super) fn look(&mut self) -> View {
        self.watch.look();
        self.read_latest();
        self.view()
    }

    /// What was seen last.
    pub(super) fn view(&self) -> View {
        View {
            name: clean(self.watch.dir().to_string_lossy().as_bytes(), COLUMNS),
            seen: self.watch.seen(),
            samples: self.watch.samples(),
            latest: Arc::clone(&self.latest),
            at: Instant::now(),
        }
    }

    fn read_latest(&mut self) {
        let rests = self.read.is_some_and(|(at, took)| at.elapsed() < took * REST);
        // Of a log that cannot be read, what was there before stays.
        if rests || self.watch.seen().problem.is_some() {
            return;
        }
        let begun = Instant::now();
        let mut entries = Vec::new();
        let broken = read_back(&self.watch, begun, &mut entries).err();
        self.latest = Arc::new(Latest { entries, broken });
        self.read = Some((begun, begun.elapsed()));
    }
}

fn read_back(watch: &Watch, begun: Instant, entries: &mut Vec<Shown>) -> walden::Result<()> {
    let log = watch.log()?;
    let mut reader = log.reader_at(log.next_seq())?;
    let mut bytes = 0_usize;
    while entries.len() < LATEST && bytes < BYTES && begun.elapsed() < LONG {
        let Some(entry) = reader.read_prev()? else { break };
        let len = entry.payload.len();
        entries.push(Shown { seq: entry.seq, len, text: clean(entry.payload, COLUMNS) });
        bytes = bytes.saturating_add(len);
    }
    Ok(())
}
