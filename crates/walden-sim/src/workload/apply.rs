//! What each step does to log and model.

use std::sync::Arc;
use std::time::Duration;

use walden::offline::{self, Recompress, Target};
use walden::{Compression, Error, Retention, SyncStrategy, Wal};

use super::DIR;
use super::mirror::Mirror;
use super::model::InFlight;
use super::op::{Op, Step};
use super::read;
use super::run::{Done, Run, Stop};
use super::violation::{Checked, Rule, hold};

impl Run {
    /// Does one step on both. An error of the log's own leaves the model as the log says it is.
    pub(crate) fn apply(&mut self, step: &Step) -> Done {
        let wal = self.wal()?;
        match &step.op {
            Op::Append { len } => {
                let payload = step.payload(0, *len);
                self.appending(&wal, vec![payload.clone()], |wal| {
                    wal.append(&payload).map(|seq| seq..seq + 1)
                })
            }
            Op::AppendParts { len, parts } => {
                let payload = step.payload(0, *len);
                let pieces: Vec<&[u8]> = payload.chunks(payload.len().div_ceil(*parts)).collect();
                self.appending(&wal, vec![payload.clone()], |wal| {
                    wal.append_parts(&pieces).map(|seq| seq..seq + 1)
                })
            }
            Op::Batch { count, len } => {
                let payloads: Vec<_> = (0..*count).map(|i| step.payload(i, *len)).collect();
                self.appending(&wal, payloads.clone(), |wal| wal.append_batch(&payloads))
            }
            Op::Submit { count, len } => self.submit(&wal, step, *count, *len),
            Op::Wait => self.held.wait(&wal),
            Op::Sync => {
                wal.sync()?;
                self.model.all_durable();
                self.model.consumer.kept();
                Ok(())
            }
            Op::Flush => {
                wal.flush()?;
                self.model.written = self.model.next();
                Ok(())
            }
            Op::Tick => Ok(wal.tick()?),
            Op::Pass { millis } => {
                self.clock.advance(Op::passing(*millis));
                Ok(wal.tick()?)
            }
            Op::ClockJump { seconds } => {
                self.clock.jump(*seconds);
                Ok(())
            }
            Op::Front { .. } | Op::Back { .. } | Op::Reset { .. } | Op::Retain { .. } => {
                self.cut(&wal, &step.op)
            }
            Op::Consume { .. } | Op::SeekCursor { .. } | Op::RemoveCursor => {
                self.consume(&wal, &step.op)
            }
            Op::Meta { len } => self.set_meta(&wal, step.payload(0, *len)),
            Op::Read { at } => {
                read::around(&wal, &self.model, self.place(*at), self.may_lack_room())
            }
            Op::Hold { at } => {
                self.held.place(&wal, &self.mount, self.place(*at), self.may_lack_room())
            }
            Op::Look { steps } => self.held.look(&wal, &self.model, *steps, self.may_lack_room()),
            Op::Beside => read::beside(&wal, &self.model, &self.disk),
            Op::Ship { overlap, cut } => self.ship(&wal, step, *overlap, *cut),
            Op::Reopen { strategy } => self.reopen(&wal, *strategy, false),
            Op::Backup => self.reopen(&wal, self.strategy, true),
            _ => Ok(()),
        }
    }

    /// A seq id, or the next one, at so many thousandths of the log.
    fn place(&self, at: u64) -> u64 {
        let (first, next) = (self.model.first, self.model.next());
        first + (next - first) * at.min(1000) / 1000
    }

    fn appending(
        &mut self,
        wal: &Wal,
        payloads: Vec<Vec<u8>>,
        append: impl FnOnce(&Wal) -> walden::Result<std::ops::Range<u64>>,
    ) -> Done {
        let begin = self.model.next();
        let atomic = !self.setup.separate;
        self.model.append(payloads, atomic);
        let end = self.model.next();
        let seqs = append(wal).map_err(|error| self.not_appended(wal, begin, error))?;
        hold(Rule::Order, seqs == (begin..end) || (seqs.is_empty() && begin == end), || {
            format!("appended as {seqs:?}, not {begin}..{end}")
        })?;
        match self.strategy {
            _ if begin == end => {}
            SyncStrategy::Always => self.model.all_durable(),
            SyncStrategy::OsCache => self.model.written = self.model.next(),
            _ => {}
        }
        Ok(())
    }

    fn submit(&mut self, wal: &Wal, step: &Step, count: usize, len: usize) -> Done {
        let payloads: Vec<_> = (0..count).map(|i| step.payload(i, len)).collect();
        let begin = self.model.next();
        self.model.append(payloads.clone(), !self.setup.separate);
        let submitted = match payloads.as_slice() {
            [one] => wal.submit(one),
            several => wal.submit_batch(several),
        };
        let ticket = submitted.map_err(|error| self.not_appended(wal, begin, error))?;
        let seqs = ticket.seqs();
        hold(Rule::Order, seqs == (begin..self.model.next()), || format!("submitted as {seqs:?}"))?;
        self.held.keep(ticket);
        Ok(())
    }

    /// An append that failed: the log says whether seq ids were given, and the error must say the same.
    fn not_appended(&mut self, wal: &Wal, begin: u64, error: Error) -> Stop {
        let (next, end) = (wal.next_seq(), self.model.next());
        self.model.take_back(next);
        if self.disk.stopped() || wal.stats().poisoned {
            return error.into();
        }
        let given = next > begin;
        let whole = self.setup.separate || next == begin || next == end;
        let told = !error.is_out_of_space() || error.seq().is_some() == given;
        let checked = hold(Rule::Space, whole && told && (begin..=end).contains(&next), || {
            format!("next is {next}, was {begin}, after: {error:?}")
        });
        checked.map_or_else(Stop::from, |()| error.into())
    }

    fn consume(&mut self, wal: &Wal, op: &Op) -> Done {
        let mut consumer = self.model.consumer.clone();
        let done = match op {
            Op::Consume { at } => consumer.consume(wal, &self.model, self.place(*at), false),
            Op::SeekCursor { at } => consumer.consume(wal, &self.model, self.place(*at), true),
            _ => consumer.remove(wal),
        };
        self.model.consumer = consumer;
        done
    }

    fn set_meta(&mut self, wal: &Wal, value: Vec<u8>) -> Done {
        self.model.meta_in_flight = Some(value.clone());
        wal.set_meta(b"vote", &value)?;
        self.model.meta_in_flight = None;
        self.model.meta = Some(value);
        Ok(())
    }

    fn ship(&mut self, wal: &Wal, step: &Step, overlap: u64, cut: bool) -> Done {
        let mut mirror = match self.mirror.take() {
            Some(mirror) => mirror,
            None => Mirror::new(self.setup.seed)?,
        };
        let shipped = mirror.ship(wal, &self.model, overlap, step);
        self.counts.shipments += 1;
        if cut && shipped.is_ok() {
            mirror.lose_power(step)?;
        }
        self.mirror = Some(mirror);
        shipped
    }

    fn cut(&mut self, wal: &Wal, op: &Op) -> Done {
        match op {
            Op::Front { at } => {
                let first = self.place(*at);
                self.model.in_flight = InFlight::Front(first);
                wal.truncate_front(first)?;
                self.model.cut_front(first);
            }
            Op::Back { at } => {
                let next = self.place(*at);
                self.model.in_flight = InFlight::Back(next);
                wal.truncate_back(next - 1)?;
                self.held.cut(next);
                self.model.cut_back(next);
            }
            Op::Reset { next } => {
                self.model.in_flight = InFlight::Reset(*next);
                wal.reset(*next)?;
                self.held.reset((*next).min(self.model.first), *next);
                self.model.reset(*next);
            }
            Op::Retain { .. } if self.model.consumer.is_blind() => {}
            Op::Retain { segments, bytes, seconds } => {
                let mut limits = Retention::keep_all();
                if let Some(segments) = segments {
                    limits = limits.max_segments(*segments);
                }
                if let Some(bytes) = bytes {
                    limits = limits.max_bytes(*bytes);
                }
                if let Some(seconds) = seconds {
                    limits = limits.max_age(Duration::from_secs(*seconds));
                }
                // Where it cuts is the log's choice; the model learns it, and a crash may undo it.
                self.model.in_flight = InFlight::Retain;
                wal.retain(&limits)?;
                let first = wal.first_seq();
                let sane = (self.model.first..=self.model.next()).contains(&first);
                hold(Rule::Ghost, sane, || format!("retention cut to {first}"))?;
                self.model.consumer.check_retention(self.model.first, first, &self.model)?;
                self.model.cut_front(first);
            }
            _ => {}
        }
        self.model.in_flight = InFlight::None;
        Ok(())
    }

    fn reopen(&mut self, wal: &Wal, strategy: SyncStrategy, backup: bool) -> Done {
        self.held.leave_log();
        // Where a new segment could not be made, there is none to end with.
        let lacking = self.limited || self.disk.failed() > 0 || wal.stats().open_segments == 0;
        self.wal = None;
        wal.close()?;
        self.held.check_closed()?;
        self.model.all_durable();
        self.model.consumer.kept();
        if backup && !self.disk.stopped() {
            self.backup = Some((self.disk.fork(), self.model.clone()));
        }
        // A cut that is not finished goes first: opening does it.
        if self.setup.compression != Compression::None && !lacking {
            self.store_otherwise()?;
        }
        self.strategy = strategy;
        let opened = self.open()?;
        self.counts.openings += 1;
        self.found_clean(&opened, lacking)?;
        self.find_consumer(&opened)?;
        self.wal = Some(opened);
        // Closing synced everything; the disk may have stopped at a call whose failure opening survives.
        if self.disk.stopped() || self.disk.may_fail() { Ok(()) } else { Ok(self.check_whole()?) }
    }

    /// The complete segments of the closed log are compressed, or the next time stored as they were.
    fn store_otherwise(&mut self) -> Done {
        let undo = self.counts.openings.is_multiple_of(2);
        let how = if undo { Compression::None } else { self.setup.compression };
        let (storage, clock) = (Arc::new(self.disk.clone()), Arc::new(self.clock.clone()));
        let target = Target::new(DIR, "segment", storage, clock);
        let done = offline::compress(&target, &Recompress::to(how), &mut |_| {})?;
        self.counts.rewritten += done.rewritten;
        Ok(())
    }

    fn found_clean(&self, wal: &Wal, lacking: bool) -> Checked {
        let origin = wal.recovery().origin;
        hold(Rule::Refused, origin == walden::Origin::Clean || lacking, || {
            format!("closed cleanly, and opened as {origin:?}")
        })?;
        let (next, durable) = (wal.next_seq(), wal.durable_seq() + 1);
        hold(Rule::Loss, (next, durable) == (self.model.next(), self.model.next()), || {
            format!(
                "next {next}, durable before {durable} after closing, not {}",
                self.model.next()
            )
        })
    }
}
