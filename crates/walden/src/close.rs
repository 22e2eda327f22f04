//! Closing: everything durable, free space cut, and a mark that says so, in that order.

use crate::error::Result;
use crate::keeper::Keeper;
use crate::log::Log;
use crate::manifest::{Mark, Place};
use crate::sync::{Arc, Ordering, wait};
use crate::write::appender::State;
use crate::write::group_commit::Leader;
use crate::write::open::OpenSegment;

/// Closes a log for all its handles. A second call is a no-op.
///
/// # Errors
/// What kept it from being closed cleanly; it is closed all the same.
pub(crate) fn close(log: &Log) -> Result<()> {
    {
        let mut appender = log.appender.lock();
        while appender.turn || matches!(appender.state, State::Cutting) {
            if log.latch.cause().is_some() {
                break;
            }
            appender = wait(&log.room, appender);
        }
        if matches!(appender.state, State::Closed) {
            return Ok(());
        }
        appender.state = State::Closed;
    }
    log.room.notify_all();
    let _span = crate::trace::closing(log.names.dir());
    log.signal.stop();
    let result = close_cleanly(log);
    // At once: what is forgotten is taken for written by nobody, and nobody finds it and cannot write it.
    log.forget_unwritten(|| log.latch.shut());
    log.watermark.close();
    log.unlock();
    crate::trace::closed(&result);
    result
}

fn close_cleanly(log: &Log) -> Result<()> {
    log.latch.check()?;
    let leader = log.lead();
    let mut keeper = log.keeper();
    let _preparing = log.preparing.lock();
    let result = sync_and_seal(log, &leader, &mut keeper);
    let ready = log.appender.lock().ready.take();
    if let Some(ready) = ready {
        keeper.remove_if_there(&log.names.next(ready.ordinal))?;
    }
    result?;
    log.cursors.persist()?;
    let active = log.open.lock().first().map(Arc::clone);
    let Some(active) = active else { return Ok(()) };
    active.segment.note_last_append(&*active.file);
    cut_free_space(&active)?;
    keeper.sync_dir()?;
    drop(log.write_index(&active.segment));
    let extent = active.written();
    log.manifest.mark(Mark {
        log_id: keeper.manifest.log_id,
        epoch: keeper.manifest.epoch(),
        generation: log.manifest.synced_generation(),
        place: Place { ordinal: active.ordinal(), offset: extent.end, next_seq: extent.next_seq },
        counter: 0,
    })?;
    keeper.file.sync()
}

/// All that was appended is durable, and all but the last segment sealed.
fn sync_and_seal(log: &Log, leader: &Leader<'_>, keeper: &mut Keeper) -> Result<()> {
    log.flush()?;
    let newest = log.open.lock().last().map(|open| open.ordinal());
    if let Some(ordinal) = newest {
        keeper.name_active(ordinal)?;
        log.named.fetch_max(ordinal, Ordering::AcqRel);
    }
    log.sync_round(leader)?;
    while log.seal_oldest(keeper)? {}
    Ok(())
}

fn cut_free_space(active: &OpenSegment) -> Result<()> {
    let end = active.written().end;
    let io = |doing: &str, error| crate::Error::io(doing, &active.segment.path, error);
    let len = active.file.len().map_err(|error| io("tell the length", error))?;
    if len != end {
        active.file.set_len(end).map_err(|error| io("cut free space", error))?;
    }
    active.file.sync_all().map_err(|error| io("sync", error))
}
