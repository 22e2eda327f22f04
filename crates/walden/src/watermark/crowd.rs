//! Threads that wait for durability, and are woken together.
//!
//! To wake 64 threads one by one takes the leader longer than a sync, and the disk has nothing to do meanwhile. So those
//! who wait for the same sync are a crowd: one place to sleep, one call that wakes all of it. Who comes while
//! a sync runs that is too early for it is of the next crowd, if anybody waits for that one. A crowd that has one member who is served is woken whole: the
//! others look again.

use crate::sync::{self, Arc, Condvar, Mutex};

/// A place where several threads sleep.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    state: Mutex<State>,
    condvar: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// All are to look again: those who are served, and who is in the crowd with them.
    served: bool,
    /// So many are wanted to lead.
    called: usize,
}

impl Crowd {
    /// Sleeps until all are woken, or this one is called; what came before is not lost. True: all are.
    pub(super) fn sleep(&self) -> bool {
        let mut state = self.state.lock();
        while !state.served && state.called == 0 {
            state = sync::wait(&self.condvar, state);
        }
        if !state.served {
            state.called -= 1;
        }
        state.served
    }

    pub(super) fn wake(&self) {
        self.state.lock().served = true;
        self.condvar.notify_all();
    }

    pub(super) fn call_one(&self) {
        self.state.lock().called += 1;
        self.condvar.notify_one();
    }

    #[cfg(test)]
    pub(super) fn is_served(&self) -> bool {
        self.state.lock().served
    }

    #[cfg(test)]
    pub(super) fn called(&self) -> usize {
        self.state.lock().called
    }
}

/// A crowd, and what its members wait for.
#[derive(Debug)]
pub(super) struct Gathered {
    crowd: Arc<Crowd>,
    members: usize,
    /// Nobody in it waits for less; who did may be gone.
    lowest: u64,
    /// Whose target is above is of a later one: the sync that this one waits for has begun.
    highest: u64,
}

/// The crowds, in the order of their syncs; none of them empty.
#[derive(Debug, Default)]
pub(super) struct Crowds(Vec<Gathered>);

impl Crowds {
    pub(super) fn members(&self) -> usize {
        self.0.iter().map(|gathered| gathered.members).sum()
    }

    /// Joins those who wait for the sync that makes all before `target` durable.
    pub(super) fn join(&mut self, target: u64) -> Arc<Crowd> {
        let fitting = self.0.iter_mut().find(|gathered| target <= gathered.highest);
        if let Some(gathered) = fitting {
            gathered.members += 1;
            gathered.lowest = gathered.lowest.min(target);
            return Arc::clone(&gathered.crowd);
        }
        let crowd = Arc::<Crowd>::default();
        let (members, lowest, highest) = (1, target, u64::MAX);
        self.0.push(Gathered { crowd: Arc::clone(&crowd), members, lowest, highest });
        crowd
    }

    /// Takes back that somebody joined; of no effect once all were taken out to be woken.
    pub(super) fn leave(&mut self, crowd: &Arc<Crowd>) {
        let Some(at) = self.0.iter().position(|gathered| Arc::ptr_eq(&gathered.crowd, crowd))
        else {
            return;
        };
        if let Some(gathered) = self.0.get_mut(at) {
            gathered.members -= 1;
            if gathered.members == 0 {
                self.0.remove(at);
            }
        }
    }

    /// A sync begins that makes all before `target` durable: who comes with more is of the next crowd.
    pub(super) fn close(&mut self, target: u64) {
        if let Some(last) = self.0.last_mut().filter(|last| last.lowest <= target) {
            last.highest = last.highest.min(target);
        }
    }

    /// Takes out those in which somebody waits, or did, for no more than is durable.
    pub(super) fn take_served(&mut self, durable: u64) -> Vec<Gathered> {
        self.0.extract_if(.., |gathered| gathered.lowest <= durable).collect()
    }

    pub(super) fn take_all(&mut self) -> Vec<Gathered> {
        std::mem::take(&mut self.0)
    }

    /// The one whose sync comes first.
    pub(super) fn first(&self) -> Option<Arc<Crowd>> {
        self.0.first().map(|gathered| Arc::clone(&gathered.crowd))
    }
}

impl Gathered {
    pub(super) const fn members(&self) -> usize {
        self.members
    }

    pub(super) fn wake(&self) {
        self.crowd.wake();
    }
}
