//! Appends what another log stored: what both reading and writing are needed for.

use std::borrow::Cow;
use std::ops::Range;

use crate::dictionaries::alone::Dictionary;
use crate::error::{Error, ErrorKind, Result};
use crate::frames::{Frames, History};
use crate::log::Log;
use crate::manifest::Epoch;
use crate::num;
use crate::read::Walk;
use crate::record::{self, Decoder, Packed, Record, Unreadable};
use crate::snapshot::View;
use crate::sync::Arc;
use crate::trim::epoch::busy;
use crate::watermark::refuse_in_callback;

impl Log {
    /// Appends the records of `frames` that are not here yet; gives their seq ids, when they are as safe as
    /// the strategy says.
    ///
    /// # Errors
    /// `Gap`, `Diverged`, `Removed`, `TooLarge`, `MissingDictionary`, `Corrupt` with nothing appended; else as an append.
    pub(crate) fn append_frames(self: &Arc<Self>, frames: &Frames) -> Result<Range<u64>> {
        refuse_in_callback()?;
        let _one = self.grafting.lock();
        let era = self.watermark.era();
        for (record, _) in frames.records() {
            self.check_size(record.len())?;
            // Compressed, it may hold more than it takes. Where its codec is not there, nobody reads it here either.
            if let Ok(len) = record::content_len(&record.header, record.stored) {
                self.check_size(len.saturating_add(record::OVERHEAD))?;
            }
            self.has_dictionary(&record)?;
        }
        let next = self.watermark.appended();
        let seqs = frames.seqs();
        if seqs.start > next {
            return Err(gap(seqs.start, next));
        }
        self.same_history(frames, next)?;
        self.same_entries(frames, next)?;
        self.holds_what_it_says(frames, next)?;
        let rest = self.without_head(frames, next)?;
        let frames = rest.as_ref().unwrap_or(frames);
        let mut at = next;
        while at < seqs.end {
            let (id, end) = stretch(frames, at)?;
            self.graft(frames, at..end, id, era)?;
            at = end;
        }
        self.settle_before(seqs.end, era)?;
        Ok(next.min(seqs.end)..seqs.end)
    }

    /// Refuses a record that nobody could read here for want of its dictionary.
    fn has_dictionary(&self, record: &Record<'_>) -> Result<()> {
        let Some(id) = record::dictionary_of(&record.header, record.stored) else { return Ok(()) };
        // Put there by hand, it may not be on disk, and what is appended must be readable after any crash.
        self.files.dictionaries.settle(id).map_err(|error| {
            let error = error.seqs(record.seq(), record.next_seq().saturating_sub(1));
            if error.kind() != ErrorKind::MissingDictionary {
                return error;
            }
            error.advice(format!(
                "nothing was appended; give this log the dictionary {id} of the one that they come from \
                 (Wal::dictionary, Wal::add_dictionary, or a copy of the file), then send them again"
            ))
        })
    }

    /// Refuses new records of which a checksum is sound, and what they hold is not: nobody could read them here, and
    /// `count` alone would take seq ids. Where their codec is not there, their `count` must at least be possible.
    ///
    /// Proved one after another: what takes memory is one record's content, of `max_record_size` at most.
    fn holds_what_it_says(&self, frames: &Frames, next: u64) -> Result<()> {
        let (mut decoder, mut content) = (Decoder::new(), Vec::new());
        let most = self.settings.max_record_size;
        let new = frames.records().filter(|(record, _)| record.next_seq() > next);
        for (record, _) in new.filter(|(record, _)| record.header.codec() != 0) {
            let Record { header, stored, .. } = record;
            let dictionary = self.files.dictionaries.of(&header, stored)?;
            let held = decoder.content(&header, stored, dictionary.as_deref(), most, &mut content);
            let held = held.or_else(|why| match why {
                Unreadable::Missing(_)
                    if !header.is_packed() || record::can_hold(&header, stored) =>
                {
                    Ok(())
                }
                Unreadable::Missing(_) => Err(Unreadable::Malformed),
                why => Err(why),
            });
            held.map_err(|why| {
                why.error()
                    .seqs(record.seq(), record.next_seq().saturating_sub(1))
                    .advice("nothing was appended; look at the log that they come from")
            })?;
        }
        Ok(())
    }

    /// Of frames that begin with a batch of which the first entries were removed here, or never were here, and the
    /// last are not here yet: what is left of it, as records of their own. No cut could make room for the batch as
    /// it is, since its beginning lies before this log's.
    fn without_head(&self, frames: &Frames, next: u64) -> Result<Option<Frames>> {
        let first = self.first_seq();
        let cut = |(record, _): &(Record<'_>, _)| record.seq() < first && next < record.next_seq();
        if !frames.records().take_while(|(record, _)| record.seq() < first).any(|r| cut(&r)) {
            return Ok(None);
        }
        let dictionary = |id| Ok(Some(Dictionary::of(self.files.dictionaries.get(id)?)));
        frames.starting_at_with(next, self.settings.max_record_size, dictionary)
    }

    /// Appends the records of one epoch.
    ///
    /// # Errors
    /// `Busy` where someone appended or cut in between: what was checked is not so any more.
    fn graft(&self, frames: &Frames, seqs: Range<u64>, epoch: u128, era: u64) -> Result<()> {
        self.adopt_epoch(epoch, seqs.start, era)?;
        let _turn = self.take_turn(true)?;
        // With the turn, nobody else appends, and a cut waits for its end.
        self.still_ends(seqs.start, era)?;
        if *self.epoch.lock() != epoch {
            return Err(busy());
        }
        let records = frames.records().filter(|(record, _)| seqs.contains(&record.seq()));
        for (record, bytes) in records {
            self.append_stored(bytes, record.count)?;
        }
        Ok(())
    }

    /// Refuses what is not a continuation of what is here.
    fn same_history(&self, frames: &Frames, next: u64) -> Result<()> {
        let (first, snapshot) = (self.first_seq(), View::snapshot(self));
        // What was removed here cannot be compared, and nothing of it is appended.
        if next <= first || frames.seqs.end <= first {
            return Ok(());
        }
        let mine = History { epochs: &snapshot.epochs, end: next };
        let theirs = History { epochs: &frames.epochs, end: frames.seqs.end };
        let last = next.min(frames.seqs.end) - 1;
        let here = mine.epoch_of(last);
        // An id stands for one unforked run. Where it goes on there with the entry that comes next here, it does so from
        // here, whatever else that log says of seq ids before: it may have begun with that entry.
        if here == theirs.epoch_of(last) || here == theirs.epoch_of(next) {
            return Ok(());
        }
        let oldest = frames.epochs.first().map_or(0, |epoch| epoch.first_seq);
        let shared = |epoch: &Epoch| frames.epochs.iter().any(|theirs| theirs.id == epoch.id);
        let at = mine.parts_from(&theirs).max(first).min(last);
        if last >= oldest && snapshot.epochs.iter().any(shared) {
            return Err(diverged(at, "the entries from here on belong to another history"));
        }
        // What began here before that may be what was removed or merged there: no cut here could make it fit.
        let at = at.max(oldest);
        if last < oldest || mine.begin_of(at).is_none_or(|begin| begin < oldest) {
            return Err(forgotten(last, frames));
        }
        Err(unrelated(at, first, frames))
    }

    /// Refuses entries that are here under the same seq ids with other bytes.
    fn same_entries(self: &Arc<Self>, frames: &Frames, next: u64) -> Result<()> {
        let first = self.first_seq();
        // One for all: what it has at hand, a batch maybe, is not read again for each entry.
        let mut walk = Walk::new(Arc::clone(self) as Arc<dyn View>, first);
        walk.view().refresh()?;
        for (record, bytes) in frames.records() {
            if record.seq() >= next {
                break;
            }
            // Of one without its beginning, what is not here can be taken.
            if record.next_seq() > next && record.seq() >= first {
                let what = "a batch reaches beyond the end of this log, which has a part of it";
                return Err(diverged(record.seq(), what));
            }
            let mut content = None;
            for seq in record.seq().max(first)..record.next_seq().min(next) {
                walk.pass(seq);
                if self.same_as_here(&mut walk, &record, &mut content, bytes)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Refuses the entry at the walk's position where it is another one here; true if the whole record is the same.
    fn same_as_here<'a>(
        &self,
        walk: &mut Walk,
        record: &Record<'a>,
        content: &mut Option<Cow<'a, [u8]>>,
        bytes: &[u8],
    ) -> Result<bool> {
        let seq = walk.position();
        match walk.forward() {
            Ok(true) => {}
            Err(error) if !error.is_truncated() => return Err(error),
            // What keeps it from being written is said; else it was cut.
            Ok(false) if self.has_come(seq)? && walk.forward()? => {}
            Ok(false) | Err(_) => return Err(diverged(seq, "the log was cut meanwhile")),
        }
        let (_, seqs, own) = walk.record()?;
        if seqs.start == record.seq() && seqs.end == record.next_seq() && same(own, bytes) {
            return Ok(true);
        }
        let content = match content {
            Some(content) => content,
            None => {
                let most = self.settings.max_record_size;
                let dictionary = self.files.dictionaries.of(&record.header, record.stored)?;
                let dictionary = dictionary.as_deref();
                let told = record::content(&record.header, record.stored, dictionary, most);
                content.insert(told.map_err(|why| why.error().seq_at(seq))?)
            }
        };
        let theirs = entry(record, content, seq)
            .ok_or_else(|| Error::corrupt("frames have a batch without this entry").seq_at(seq))?;
        if walk.borrow(seq, seq)? != theirs {
            return Err(diverged(seq, "this entry has other bytes here"));
        }
        Ok(false)
    }
}

/// Whether two records hold the same: their footers may differ where one decayed.
fn same(own: &[u8], theirs: &[u8]) -> bool {
    let body = |bytes: &[u8]| bytes.len().saturating_sub(num::index(crate::record::FOOTER_LEN));
    own.get(..body(own)) == theirs.get(..body(theirs))
}

/// An entry of a record with this content.
fn entry<'a>(record: &Record<'_>, content: &'a [u8], seq: u64) -> Option<&'a [u8]> {
    match record.header.is_packed() {
        false => Some(content),
        true => Packed::entry_behind(record.count, content, seq.checked_sub(record.seq())?),
    }
}

/// The epoch of the entry `seq`, and the first seq id of `frames` that is not of it.
fn stretch(frames: &Frames, seq: u64) -> Result<(u128, u64)> {
    let end = frames.seqs.end;
    let id = History { epochs: &frames.epochs, end }.epoch_of(seq);
    let id = id.ok_or_else(|| Error::corrupt("frames have an entry of no epoch").seq_at(seq))?;
    let next = frames.epochs.iter().map(|epoch| epoch.first_seq).find(|first| *first > seq);
    Ok((id, next.unwrap_or(end).min(end)))
}

fn gap(from: u64, next: u64) -> Error {
    Error::new(ErrorKind::Gap, format!("frames begin with seq id {from}, behind the next one here"))
        .seq_at(next)
        .advice(format!("send frames from {next} on, or reset({from}) if those before are gone"))
}

/// What the entries before belonged to is not known any more where the frames come from: neither that they are the
/// same, nor that they are not.
fn forgotten(last: u64, frames: &Frames) -> Error {
    let from = frames.epochs.first().map_or(0, |epoch| epoch.first_seq);
    let start = frames.seqs.start;
    Error::new(
        ErrorKind::Removed,
        format!(
            "the log that the frames come from removed its entries before {from}, and what history they belonged \
             to: whether those here are the same cannot be told"
        ),
    )
    .seq_at(last)
    .advice(format!(
        "keep this log as it is and begin another copy with reset({start}); or reset({start}) this one, which \
         removes what it has"
    ))
}

/// No epoch of this log is known where the frames come from.
fn unrelated(at: u64, first: u64, frames: &Frames) -> Error {
    let start = frames.seqs.start;
    Error::new(
        ErrorKind::Diverged,
        "nothing of this log's history is known to the one that the frames come from: it is another log, or has \
         merged its oldest epochs, of which it keeps 64",
    )
    .seq_at(at)
    .advice(format!(
        "if this is to be its copy: truncate_back({}) and take frames from {at} on, if it still has what is here \
         from {first} on; if it has not, what is removed here is gone, and reset({start}) begins anew",
        at.saturating_sub(1)
    ))
}

fn diverged(at: u64, what: &str) -> Error {
    Error::new(ErrorKind::Diverged, format!("the two logs part: {what}"))
        .seq_at(at)
        .advice(format!("truncate_back({}), then take frames from {at} on", at.saturating_sub(1)))
}
