use super::*;

/// All before `next_seq` is written, and before `durable` durable.
pub(super) fn raised(next_seq: u64, durable: u64) -> Arc<Watermark> {
    let mark = Watermark::new(1);
    mark.raise_appended(next_seq);
    mark.raise_written(next_seq);
    mark.raise_durable(durable);
    Arc::new(mark)
}

#[test]
fn reached_failed_closed() {
    let mark = raised(5, 3);
    assert!(matches!(mark.reached(Level::Durable, 3, 0), Some(Ok(()))));
    assert!(mark.reached(Level::Durable, 4, 0).is_none());
    mark.fail(&Error::new(ErrorKind::Poisoned, "x"));
    assert!(matches!(mark.reached(Level::Durable, 3, 0), Some(Ok(()))), "durable is first");
    assert!(mark.reached(Level::Durable, 4, 0).unwrap().unwrap_err().is_poisoned());
}

/// Who writes holds the write lock, and a callback may read, which takes it: so that is left to who made it durable.
#[test]
fn who_writes_runs_no_callback() {
    let mark = raised(3, 1);
    let called = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&called);
    let call = move || {
        count.fetch_add(1, Ordering::SeqCst);
    };
    assert!(mark.ask(2, 0, Wake::Call(Box::new(call))).is_some());
    // A leader has raised it, and is about to tell.
    mark.durable.store(2, Ordering::SeqCst);
    mark.tell_written();
    assert_eq!(called.load(Ordering::SeqCst), 0);
    mark.raise_durable(3);
    assert_eq!(called.load(Ordering::SeqCst), 1);
}

#[test]
fn a_cut_fails_what_is_behind_it_for_ever() {
    let mark = raised(10, 10);
    mark.cut(5, 5);
    assert_eq!((mark.durable(), mark.written(), mark.appended()), (5, 5, 5));
    assert!(matches!(mark.reached(Level::Durable, 5, 0), Some(Ok(()))));
    mark.raise_appended(10);
    mark.raise_written(10);
    mark.raise_durable(10);
    let error = mark.reached(Level::Durable, 8, 0).unwrap().unwrap_err();
    assert!(error.is_truncated());
    assert_eq!(error.seq(), Some(5));
    assert!(matches!(mark.reached(Level::Durable, 8, 1), Some(Ok(()))));
    mark.cut(7, 7);
    assert_eq!(mark.cut_since(0), Some(5));
    assert_eq!(mark.cut_since(1), Some(7));
    mark.cut(3, 3);
    assert_eq!(mark.cut_since(0), Some(3));
    assert_eq!(mark.cut_since(2), Some(3));
    assert_eq!(mark.cut_since(3), None);
}

#[test]
fn only_who_asked_is_handed_the_lead() {
    let mark = Watermark::new(1);
    let follower = Arc::new(Parker::default());
    mark.register(Level::Durable, 2, 0, Wake::Thread(Arc::clone(&follower)));
    assert!(!mark.hand_over(), "nobody asked: the sync thread has nothing to do");
    mark.ask(2, 0, Wake::Thread(Arc::clone(&follower)));
    assert!(mark.hand_over(), "who asked and does not lead needs the sync thread");
    let crowd = join(&mark, 2);
    assert!(!mark.hand_over());
    assert_eq!((crowd.called(), crowd.is_served(), *follower.woken.lock()), (1, false, false));
    assert!(!crowd.sleep(), "called to lead, not served");
    assert_eq!(crowd.called(), 0);
    mark.leave(&crowd);
    assert!(mark.hand_over(), "who led is gone");
}

#[test]
fn a_callback_that_panics_keeps_nobody_asleep() {
    let mark = Watermark::new(1);
    mark.raise_appended(2);
    let parker = Arc::new(Parker::default());
    mark.ask(2, 0, Wake::Call(Box::new(|| std::panic::resume_unwind(Box::new(())))));
    mark.ask(2, 0, Wake::Thread(Arc::clone(&parker)));
    let crowd = join(&mark, 2);
    mark.raise_written(2);
    mark.raise_durable(2);
    assert!(*parker.woken.lock() && crowd.is_served() && !in_callback());
}

fn join(mark: &Watermark, target: u64) -> Arc<Crowd> {
    let mut state = mark.state.lock();
    let crowd = state.crowds.join(target);
    mark.waiting.store(state.waiting(), Ordering::SeqCst);
    crowd
}

/// A sync that has begun serves those who came before it; who comes later is not woken by its end.
#[test]
fn those_who_wait_for_the_same_sync_are_woken_together() {
    let mark = raised(10, 1);
    let early = [2, 4, 3].map(|target| join(&mark, target));
    mark.begin_sync(4);
    let (late, behind) = (join(&mark, 5), join(&mark, 4));
    mark.begin_sync(4);
    let later = join(&mark, 6);
    assert!(early.iter().chain([&behind]).all(|crowd| Arc::ptr_eq(crowd, &early[0])));
    assert!(Arc::ptr_eq(&late, &later) && !Arc::ptr_eq(&late, &behind));
    assert_eq!((mark.waiters(), mark.take_freed()), (6, 0));
    mark.raise_durable(4);
    assert_eq!((early[0].is_served(), late.is_served()), (true, false));
    assert_eq!((mark.waiters(), mark.take_freed()), (2, 4));
    // Who is woken need not say that it goes.
    mark.leave(&early[0]);
    mark.leave(&late);
    assert_eq!(mark.waiters(), 1);
    mark.fail(&Error::new(ErrorKind::Poisoned, "x"));
    assert!(later.is_served());
    assert_eq!(mark.waiters(), 0);
}

/// Somebody joins just as he is served, and goes without leading: those he joined are not forgotten.
#[test]
fn who_is_served_as_he_comes_keeps_nobody_asleep() {
    let mark = raised(3, 2);
    let other = join(&mark, 3);
    mark.sleep(2, 0, || true);
    assert!(!mark.hand_over());
    assert_eq!((other.called(), other.is_served()), (1, false));
    // As that, but raised by who saw nobody wait, after he had looked.
    let late = join(&mark, 2);
    assert!(Arc::ptr_eq(&late, &other));
    mark.leave(&late);
    assert!(!mark.hand_over());
    assert!(other.is_served(), "woken to look again");
    assert_eq!(mark.waiters(), 0);
}

/// The lead goes to who is not served: who is may be on its way, and would not lead.
#[test]
fn the_lead_is_not_handed_to_who_is_served() {
    let mark = raised(10, 1);
    let served = join(&mark, 3);
    mark.begin_sync(3);
    let waiting = join(&mark, 5);
    // Raised, and about to be told.
    mark.durable.store(3, Ordering::SeqCst);
    assert!(!mark.hand_over());
    assert_eq!((served.called(), waiting.called()), (0, 1));
    assert!(served.is_served() && !waiting.is_served());
}

#[test]
fn nobody_sleeps_without_need() {
    let mark = raised(3, 2);
    mark.sleep(2, 0, || true);
    mark.sleep(3, 0, || false);
    mark.cut(2, 2);
    mark.sleep(3, 0, || true);
    mark.fail(&Error::new(ErrorKind::Poisoned, "x"));
    mark.sleep(9, 1, || true);
    assert_eq!(mark.waiters(), 0);
}

#[test]
fn waiters_are_woken_once_by_what_they_wait_for() {
    let mark = Watermark::new(1);
    mark.raise_appended(10);
    let count = Arc::new(AtomicU64::new(0));
    let call = |count: &Arc<AtomicU64>| {
        let count = Arc::clone(count);
        Wake::Call(Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        }))
    };
    mark.register(Level::Written, 4, 0, call(&count));
    mark.register(Level::Durable, 4, 0, call(&count));
    let cancelled = mark.register(Level::Written, 3, 0, call(&count)).unwrap();
    mark.cancel(cancelled);
    mark.raise_written(3);
    mark.tell_written();
    assert_eq!(count.load(Ordering::SeqCst), 0);
    mark.raise_written(6);
    mark.tell_written();
    assert_eq!(count.load(Ordering::SeqCst), 1);
    mark.raise_durable(4);
    assert_eq!(count.load(Ordering::SeqCst), 2);
    assert_eq!(mark.register(Level::Durable, 4, 0, call(&count)), None);
    assert_eq!(count.load(Ordering::SeqCst), 3);
    assert_eq!(mark.waiters(), 0);
}
