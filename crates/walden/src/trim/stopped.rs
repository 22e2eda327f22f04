//! Appends that wait for a change to be done.

use crate::error::{Error, ErrorKind};
use crate::log::Log;
use crate::write::appender::State;

/// Appends wait. They go on when it is dropped; after a panic of the storage they get a cause, as the log may be cut in
/// half.
pub(super) struct Stopped<'a>(pub(super) &'a Log);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let what = "the thread that was changing it panicked";
            self.0.latch.fail(&Error::new(ErrorKind::Io, what).path(self.0.names.dir()));
        }
        let mut appender = self.0.appender.lock();
        if matches!(appender.state, State::Cutting) {
            let whole = appender.active.is_some();
            appender.state = if whole { State::Running } else { State::Pending };
        }
        drop(appender);
        self.0.room.notify_all();
    }
}
