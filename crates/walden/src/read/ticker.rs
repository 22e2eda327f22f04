//! A thread that wakes a task after a while: for followers of a log that cannot tell when it grows, in a
//! world without a runtime of its own.

use std::io;
use std::task::Waker;
use std::time::Duration;

use crate::sync::{Arc, Mutex};
use crate::watermark::Parker;

#[derive(Debug, Default)]
struct Shared {
    parker: Parker,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: Option<(Duration, Waker)>,
    stop: bool,
}

/// The thread lives until this is dropped.
#[derive(Debug)]
pub(super) struct Ticker {
    shared: Arc<Shared>,
}

impl Ticker {
    /// # Errors
    /// Where no thread is to be had.
    pub(super) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        std::thread::Builder::new().name("walden-follow".to_owned()).spawn(move || run(&own))?;
        Ok(Self { shared })
    }

    /// Wakes `waker` after `delay`, or before.
    pub(super) fn wake_after(&self, delay: Duration, waker: Waker) {
        self.shared.state.lock().next = Some((delay, waker));
        self.shared.parker.wake();
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.state.lock().stop = true;
        self.shared.parker.wake();
    }
}

fn run(shared: &Shared) {
    loop {
        let next = {
            let mut state = shared.state.lock();
            if state.stop {
                return;
            }
            state.next.take()
        };
        match next {
            None => shared.parker.park(),
            Some((delay, waker)) => {
                shared.parker.park_timeout(delay);
                waker.wake();
            }
        }
    }
}
