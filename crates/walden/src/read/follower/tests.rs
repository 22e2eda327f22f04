use std::task::{Wake as TaskWake, Waker};
use std::thread;

use super::*;
use crate::error::ErrorKind;
use crate::manifest::Epoch;
use crate::read::testing::{Fake, edit, payload};
use crate::record::encode;
use crate::snapshot::Snapshot;
use crate::sync::{AtomicUsize, Ordering};
use crate::watermark::Watermark;

const LONG: Duration = Duration::from_secs(20);

fn seq(event: Event) -> u64 {
    match event {
        Event::Entry(entry) => {
            assert_eq!(entry.payload, payload(entry.seq));
            entry.seq
        }
        other => panic!("{other:?}"),
    }
}

#[derive(Default)]
struct Count(AtomicUsize, Parker);

impl TaskWake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.wake();
    }
}

#[test]
fn gives_what_is_there_and_then_what_comes() {
    let fake = Fake::filled(20, 6);
    let mut follower = Follower::new(fake.view(), 18).unwrap();
    for expected in 18..=20 {
        assert_eq!(seq(follower.try_next().unwrap().unwrap()), expected);
    }
    assert_eq!(follower.try_next().unwrap(), None);
    assert_eq!(follower.next_timeout(Duration::from_millis(5)).unwrap(), None);
    let writer = Arc::clone(&fake);
    let writing = thread::spawn(move || {
        for i in 0..200 {
            if i % 9 == 0 {
                writer.rotate();
            }
            writer.append();
        }
    });
    for expected in 21..=220 {
        assert_eq!(seq(follower.next_timeout(LONG).unwrap().unwrap()), expected);
    }
    writing.join().unwrap();
    fake.mark.close();
    assert!(follower.next_blocking().unwrap_err().is_closed());
    assert_eq!(fake.mark.waiters(), 0);
}

#[test]
fn durable_only_waits_for_the_disk() {
    let fake = Fake::new(1);
    let mut bytes = Vec::new();
    encode(&mut bytes, 1, &[&payload(1)]);
    fake.put_unsynced(&bytes, 1, 1);
    let mut eager = Follower::new(fake.view(), 1).unwrap();
    let mut durable = Follower::new(fake.view(), 1).unwrap().durable_only();
    assert_eq!(seq(eager.try_next().unwrap().unwrap()), 1);
    assert_eq!(durable.try_next().unwrap(), None);
    let waiting = thread::spawn(move || durable.next_timeout(LONG).unwrap());
    while fake.mark.waiters() == 0 {
        thread::yield_now();
    }
    fake.mark.raise_durable(2);
    assert_eq!(seq(waiting.join().unwrap().unwrap()), 1);
}

#[test]
fn cuts_are_told_to_whom_they_concern() {
    let fake = Fake::filled(40, 10);
    let mut behind = Follower::new(fake.view(), 5).unwrap();
    let mut ahead = Follower::new(fake.view(), 5).unwrap();
    behind.try_next().unwrap();
    (5..=35).for_each(|_| _ = ahead.try_next().unwrap());
    fake.cut(21);
    fake.append();
    assert_eq!(ahead.try_next().unwrap(), Some(Event::Truncated { at: 21 }));
    assert_eq!(seq(ahead.try_next().unwrap().unwrap()), 21);
    for expected in 6..=21 {
        assert_eq!(seq(behind.try_next().unwrap().unwrap()), expected);
    }
    // One that waits at the end is woken to be told.
    let waiting = thread::spawn(move || ahead.next_timeout(LONG).unwrap());
    while fake.mark.waiters() == 0 {
        thread::yield_now();
    }
    fake.cut(11);
    assert_eq!(waiting.join().unwrap(), Some(Event::Truncated { at: 11 }));
}

#[test]
fn positions_outside_the_log_are_refused() {
    let fake = Fake::filled(40, 10);
    fake.truncate_front(15);
    assert!(Follower::new(fake.view(), 14).unwrap_err().is_removed());
    assert_eq!(Follower::new(fake.view(), 42).unwrap_err().kind(), ErrorKind::BeyondEnd);
    let mut slow = Follower::new(fake.view(), 15).unwrap();
    fake.truncate_front(31);
    assert!(slow.try_next().unwrap_err().is_removed());
}

#[test]
fn a_failure_is_told_after_what_came_before_it() {
    let fake = Fake::filled(2, 10);
    let mut follower = Follower::new(fake.view(), 1).unwrap();
    fake.mark.fail(&Error::new(ErrorKind::Poisoned, "fsync failed"));
    assert_eq!(seq(follower.next_blocking().unwrap()), 1);
    assert_eq!(seq(follower.next_blocking().unwrap()), 2);
    assert!(follower.next_blocking().unwrap_err().is_poisoned());
}

#[test]
fn as_a_stream() {
    let fake = Fake::new(1);
    let mut follower = Follower::new(fake.view(), 1).unwrap();
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut context = Context::from_waker(&waker);
    let mut poll = |follower: &mut Follower| Pin::new(follower).poll_next(&mut context);
    assert!(poll(&mut follower).is_pending());
    assert!(poll(&mut follower).is_pending());
    assert_eq!((fake.mark.waiters(), count.0.load(Ordering::SeqCst)), (1, 0));
    fake.append();
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert!(matches!(poll(&mut follower), Poll::Ready(Some(Ok(Event::Entry(_))))));
    assert!(poll(&mut follower).is_pending());
    fake.append();
    fake.mark.close();
    assert!(matches!(poll(&mut follower), Poll::Ready(Some(Ok(Event::Entry(_))))));
    assert!(matches!(poll(&mut follower), Poll::Ready(None)));
    assert!(matches!(poll(&mut follower), Poll::Ready(None)));
    let mut dropped = Follower::new(Fake::new(1).view(), 1).unwrap();
    assert!(poll(&mut dropped).is_pending());
    let view = Arc::clone(dropped.walk.view());
    drop(dropped);
    assert_eq!(view.watermark().unwrap().waiters(), 0);
}

#[test]
fn a_ticker_wakes_tasks() {
    let ticker = Ticker::start().unwrap();
    let count = Arc::new(Count::default());
    for _ in 0..3 {
        ticker.wake_after(SHORTEST, Waker::from(Arc::clone(&count)));
        count.1.park();
    }
    assert!(count.0.load(Ordering::SeqCst) >= 3);
}

const OLD: Epoch = Epoch { first_seq: 1, id: 3 };

/// Each entry with the epoch that the frames say it is of.
fn taken(event: &Event) -> Vec<(u64, Vec<u8>, u128)> {
    let Event::Frames(frames) = event else { panic!("{event:?}") };
    let epochs = frames.epochs();
    let epoch = |seq| epochs.iter().rev().find(|(first, _)| *first <= seq).unwrap().1;
    let entries = frames.entries(1 << 20).map(Result::unwrap);
    entries.map(|entry| (entry.seq, entry.payload.to_vec(), epoch(entry.seq))).collect()
}

#[test]
fn frames_before_what_cannot_be_read_are_given_first() {
    let fake = Fake::new(1);
    fake.change(|list| list.epochs = vec![OLD]);
    (1..=9).for_each(|_| _ = fake.append());
    let (bytes, unsound) = (std::fs::read(fake.path(0)).unwrap(), payload(7));
    let at = bytes.windows(unsound.len()).position(|part| part == unsound).unwrap();
    edit(&fake.path(0), |bytes| bytes[at] ^= 1);
    let mut follower = Follower::new(fake.view(), 3).unwrap().in_frames(1 << 20);
    let frames = follower.try_next().unwrap().unwrap();
    assert!(taken(&frames).into_iter().map(|(seq, ..)| seq).eq(3..7));
    for _ in 0..2 {
        assert!(follower.try_next().unwrap_err().is_corruption());
        assert_eq!(follower.position(), 7);
    }
}

/// A log that is cut, and goes on otherwise, when it is looked at for the n-th time.
#[derive(Debug)]
struct Cutting {
    fake: Arc<Fake>,
    /// How often it is looked at before; 0: it is not cut by that any more.
    left: AtomicUsize,
}

/// What is appended behind the cut.
fn other(seq: u64) -> Vec<u8> {
    format!("another {seq}").into_bytes()
}

impl Cutting {
    fn look(&self) {
        let left = self.left.load(Ordering::SeqCst);
        self.left.store(left.saturating_sub(1), Ordering::SeqCst);
        if left == 1 {
            self.cut();
        }
    }

    fn cut(&self) {
        self.fake.cut(11);
        self.fake.change(|list| list.epochs.push(Epoch { first_seq: 11, id: 4 }));
        for seq in 11..=25 {
            let mut bytes = Vec::new();
            encode(&mut bytes, seq, &[&other(seq)]);
            self.fake.put(&bytes, seq, 1);
        }
    }
}

impl View for Cutting {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.look();
        self.fake.snapshot()
    }

    fn refresh(&self) -> Result<()> {
        self.fake.refresh()
    }

    fn is_foreign(&self) -> bool {
        false
    }

    fn end(&self, level: Level) -> u64 {
        self.look();
        self.fake.end(level)
    }

    fn era(&self) -> u64 {
        self.look();
        self.fake.era()
    }

    fn cut_since(&self, era: u64) -> Option<u64> {
        self.fake.cut_since(era)
    }

    fn watermark(&self) -> Option<&Watermark> {
        self.fake.watermark()
    }
}

#[test]
fn frames_are_of_the_history_that_they_name_whenever_the_log_is_cut() {
    let (begins, most) = ([5, 14], 60);
    for (begin, looks) in begins.into_iter().flat_map(|begin| (1..most).map(move |n| (begin, n))) {
        let fake = Fake::new(1);
        fake.change(|list| list.epochs = vec![OLD]);
        (1..=10).for_each(|_| _ = fake.append());
        fake.rotate();
        (11..=20).for_each(|_| _ = fake.append());
        let view = Arc::new(Cutting { fake, left: AtomicUsize::new(0) });
        let mut follower = Follower::new(Arc::clone(&view) as Arc<dyn View>, begin).unwrap();
        follower = follower.in_frames(1 << 20);
        view.left.store(looks, Ordering::SeqCst);
        let mut given: Vec<(u64, Vec<u8>, u128)> = Vec::new();
        loop {
            let was_cut = view.left.load(Ordering::SeqCst) == 0;
            match follower.try_next().unwrap() {
                Some(Event::Truncated { at }) => given.retain(|(seq, ..)| *seq < at),
                Some(frames) => given.extend(taken(&frames)),
                None if was_cut => break,
                None if view.left.swap(0, Ordering::SeqCst) > 0 => view.cut(),
                None => {}
            }
        }
        let from = if begin > 11 { 11 } else { begin };
        let wanted = (from..=25).map(|seq| match seq {
            ..11 => (seq, payload(seq), 3),
            _ => (seq, other(seq), 4),
        });
        let told: Vec<_> = given.iter().map(|(seq, _, epoch)| (seq, epoch)).collect();
        assert!(given.iter().cloned().eq(wanted), "from {begin}, cut at look {looks}: {told:?}");
    }
}
