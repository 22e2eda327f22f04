//! A new epoch for what is appended from now on, without a cut: another log's that is copied, or one of our own
//! behind what was copied.

use crate::error::{Error, ErrorKind, Result};
use crate::keeper::Keeper;
use crate::log::Log;
use crate::manifest::Place;
use crate::sync::Ordering;

impl Log {
    /// What is appended from now on is the history with this id, if all is as it was when it was found to go on here:
    /// the next seq id, and the watermarks' era.
    ///
    /// # Errors
    /// `Busy` where it is not; as a cut; with nothing changed.
    pub(crate) fn adopt_epoch(&self, id: u128, next_seq: u64, era: u64) -> Result<()> {
        if *self.epoch.lock() == id && self.appender.lock().adopted {
            return Ok(());
        }
        // Its entries come behind all of ours, so all of ours must be there first.
        self.with_appends_stopped(None, |log, keeper| {
            log.still_ends(next_seq, era)?;
            log.change_epoch(keeper, id)?;
            log.appender.lock().adopted = true;
            Ok(())
        })
    }

    /// Whether nobody appended or cut since it was looked: a cut and as many appends end the log at the same seq id.
    ///
    /// # Errors
    /// `Busy` where somebody did.
    pub(crate) fn still_ends(&self, next_seq: u64, era: u64) -> Result<()> {
        if self.watermark.appended() == next_seq && self.watermark.era() == era {
            return Ok(());
        }
        Err(busy())
    }

    /// What is appended from now on is this log's own history.
    ///
    /// # Errors
    /// As a cut, with nothing changed.
    pub(crate) fn own_epoch(&self) -> Result<()> {
        self.with_appends_stopped(None, |log, keeper| {
            if !log.appender.lock().adopted {
                return Ok(());
            }
            log.change_epoch(keeper, keeper.random_id()?)?;
            log.appender.lock().adopted = false;
            Ok(())
        })
    }

    /// Everything is durable, and nobody appends or syncs.
    fn change_epoch(&self, keeper: &mut Keeper, id: u128) -> Result<()> {
        let next_seq = self.watermark.appended();
        let (ordinal, offset) = {
            let appender = self.appender.lock();
            let active = appender.active.as_ref().ok_or_else(Error::closed)?;
            (active.ordinal(), appender.offset)
        };
        let mut next = keeper.manifest.clone();
        next.continue_epoch(next_seq, id);
        next.lowest_next = next_seq;
        // Also where the id was this log's before: a mark left from then, of what was cut since, lies in a file
        // with a lower ordinal, before this place, and so counts for nothing.
        next.base = Some(Place { ordinal, offset, next_seq });
        keeper.commit(next)?;
        *self.epoch.lock() = id;
        let epochs = keeper.manifest.epochs.clone();
        self.change_snapshot(|snapshot| snapshot.epochs = epochs);
        self.named.fetch_max(ordinal, Ordering::AcqRel);
        Ok(())
    }
}

/// The log is not what it was when frames were found to go on here.
pub(crate) fn busy() -> Error {
    Error::new(ErrorKind::Busy, "the log changed while frames were being appended")
        .advice("send them again; only one source may write to a log that copies another")
}
