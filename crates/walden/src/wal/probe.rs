//! Which locks are held, told to a storage that watches (invariant 12).

use super::Wal;
use crate::sync::Arc;

impl Wal {
    /// A question to be asked from within a call of the log's storage: which of the log's locks are held now? None
    /// once the log is gone.
    ///
    /// For `walden-sim`, which drives a log with one thread; with several, the answer may be about another one's.
    /// Not covered by semantic versioning.
    #[doc(hidden)]
    pub fn locks_held(&self) -> impl Fn() -> Vec<&'static str> + Send + Sync + use<> {
        let log = Arc::downgrade(self.log());
        move || log.upgrade().map_or_else(Vec::new, |log| log.held())
    }
}
