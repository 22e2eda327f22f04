//! Who is to be told that an append is durable, in the order of appends.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use walden::Ticket;

type Outcome = io::Result<()>;
type Tell = Box<dyn FnOnce(Outcome) + Send>;

/// Appends that are not told of yet, oldest first. One sync may make several durable, and their tickets are called back
/// in any order: each waits here for those before it.
#[derive(Default)]
pub(crate) struct Flushes(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    /// Number of the first in the queue.
    first: u64,
    waiting: VecDeque<(Option<Outcome>, Tell)>,
}

impl Flushes {
    /// Calls `tell` once the ticket's outcome is known, and all before it were told; without a ticket there was
    /// nothing to store.
    pub(crate) fn push(
        self: &Arc<Self>,
        ticket: Option<Ticket>,
        tell: impl FnOnce(Outcome) + Send + 'static,
    ) {
        let number = {
            let mut queue = self.lock();
            let waiting = u64::try_from(queue.waiting.len()).unwrap_or(u64::MAX);
            queue.waiting.push_back((None, Box::new(tell)));
            queue.first.saturating_add(waiting)
        };
        let Some(ticket) = ticket else { return self.settle(number, Ok(())) };
        let flushes = Arc::clone(self);
        ticket.on_complete(move |outcome| {
            flushes.settle(number, outcome.map(drop).map_err(io::Error::from));
        });
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, number: u64, outcome: Outcome) {
        let mut queue = self.lock();
        let at = usize::try_from(number.saturating_sub(queue.first)).unwrap_or(usize::MAX);
        if let Some((slot, _)) = queue.waiting.get_mut(at) {
            *slot = Some(outcome);
        }
        // Told under the lock, which keeps the order; who is told only passes it on.
        while let Some((Some(_), _)) = queue.waiting.front() {
            queue.first = queue.first.saturating_add(1);
            if let Some((Some(outcome), tell)) = queue.waiting.pop_front() {
                tell(outcome);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_in_the_order_of_appends() {
        let flushes = Arc::new(Flushes::default());
        let told = Arc::new(Mutex::new(Vec::new()));
        for number in 0..4_u64 {
            let told = Arc::clone(&told);
            let mut queue = flushes.lock();
            let tell = move |outcome: Outcome| told.lock().unwrap().push((number, outcome.is_ok()));
            queue.waiting.push_back((None, Box::new(tell)));
        }
        flushes.settle(2, Ok(()));
        flushes.settle(1, Err(io::ErrorKind::Other.into()));
        assert_eq!(*told.lock().unwrap(), []);
        flushes.settle(0, Ok(()));
        assert_eq!(*told.lock().unwrap(), [(0, true), (1, false), (2, true)]);
        flushes.settle(3, Ok(()));
        assert_eq!(told.lock().unwrap().last(), Some(&(3, true)));
    }
}
