//! An archive as the one that lost entries of a log are taken from.

use std::error::Error as StdError;
use std::sync::{Mutex, PoisonError};

use walden::Frames;
use walden::offline::Donor;

use crate::archive::Archive;
use crate::contents::Contents;
use crate::error::Result;

/// An archive for [`walden::offline::repair_from`].
#[derive(Debug)]
pub struct ArchiveDonor {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    contents: Contents,
    /// What was fetched last, and where what is wanted of it ends: neighbours are asked for one by one.
    last: Option<(Frames, u64)>,
}

impl Archive {
    /// The archive as a log to repair another one from.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Unsupported`, `Store`.
    pub fn donor(&self) -> Result<ArchiveDonor> {
        let contents = Contents::load(&self.store)?;
        Ok(ArchiveDonor { state: Mutex::new(State { contents, last: None }) })
    }
}

impl Donor for ArchiveDonor {
    fn frames(
        &self,
        from: u64,
        _max_bytes: u64,
    ) -> std::result::Result<Option<Frames>, Box<dyn StdError + Send + Sync>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let manifest = state.contents.manifest();
        if from < manifest.first_seq || from >= manifest.end {
            return Ok(None);
        }
        let held = |(frames, end): &(Frames, u64)| (frames.seqs().start..*end).contains(&from);
        if !state.last.as_ref().is_some_and(held) {
            let fetched = state.contents.fetch_from(from, 1)?.pop();
            state.last = fetched.map(|(part, chunk)| (chunk.frames, part.end));
        }
        let (frames, end) = match &state.last {
            Some((frames, end)) => (frames, *end),
            None => return Ok(None),
        };
        // A batch that was cut reaches over the end: its entries from there on are not of this history, and it is
        // given whole or not at all.
        let over = frames.within(end.saturating_sub(1)..end).map(|last| last.seqs());
        let end = over.filter(|last| last.end > end).map_or(end, |last| last.start);
        Ok(if from < end { frames.within(from..end) } else { None })
    }
}
