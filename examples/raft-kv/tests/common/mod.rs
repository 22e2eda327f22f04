//! Clients under which nodes are killed, what they saw, and whether one map could have shown it to them.

#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use todc_utils::specifications::Specification;
use todc_utils::{Action, History, WGLChecker};
use walden_raft_kv::client::{Answer, Client};
use walden_raft_kv::cluster::get_surely;
use walden_sim::Rng;

/// Keys that all clients write and read.
pub(crate) const KEYS: u64 = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Write(u64),
    Read(Option<u64>),
}

/// One key: the checker looks at each by itself, which is enough (linearizability is local).
struct Key;

impl Specification for Key {
    type State = Option<u64>;
    type Operation = Op;

    fn init() -> Option<u64> {
        None
    }

    fn apply(op: &Op, state: &Option<u64>) -> (bool, Option<u64>) {
        match op {
            Op::Write(value) => (true, Some(*value)),
            Op::Read(value) => (value == state, *state),
        }
    }
}

/// Something a client did. A write of which it is not known whether it was done may take effect at any time after its
/// call: it returns at the end of time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    pub(crate) key: u64,
    pub(crate) op: Op,
    pub(crate) called: u64,
    pub(crate) returned: Option<u64>,
}

/// Whether one register could have shown these events, all of one key.
pub(crate) fn linearizable(events: &[Event]) -> bool {
    let mut actions: Vec<(u64, usize, Action<Op>)> = Vec::new();
    for (process, event) in events.iter().enumerate() {
        actions.push((event.called, process, Action::Call(event.op)));
        let returned = event.returned.unwrap_or(u64::MAX);
        actions.push((returned, process, Action::Response(event.op)));
    }
    actions.sort_by_key(|(time, process, _)| (*time, *process));
    let actions: Vec<_> =
        actions.into_iter().map(|(_, process, action)| (process, action)).collect();
    actions.is_empty() || WGLChecker::<Key>::is_linearizable(History::from_actions(actions))
}

/// What all clients saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The order of calls and returns.
    time: AtomicU64,
    values: AtomicU64,
    events: Mutex<Vec<Event>>,
    /// Keys that were written once, by one client, and acknowledged.
    once: Mutex<BTreeMap<String, u64>>,
    pub(crate) unknown: AtomicUsize,
}

impl Seen {
    fn now(&self) -> u64 {
        self.time.fetch_add(1, Ordering::SeqCst)
    }

    fn note(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    async fn write(&self, client: &mut Client, key: u64) {
        let value = self.values.fetch_add(1, Ordering::Relaxed);
        let called = self.now();
        let answer = client.set(&format!("shared-{key}"), &value.to_string()).await;
        let event = |returned| Event { key, op: Op::Write(value), called, returned };
        match answer {
            Answer::Done(()) => self.note(event(Some(self.now()))),
            Answer::NotDone(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            _ => {
                self.unknown.fetch_add(1, Ordering::Relaxed);
                self.note(event(None));
            }
        }
    }

    async fn read(&self, client: &mut Client, key: u64) {
        let called = self.now();
        let answer = client.get(&format!("shared-{key}")).await;
        match answer {
            Answer::Done(value) => {
                let op = Op::Read(value.map(|value| value.parse().unwrap()));
                self.note(Event { key, op, called, returned: Some(self.now()) });
            }
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }

    async fn write_once(&self, client: &mut Client, key: String) {
        let value = self.values.fetch_add(1, Ordering::Relaxed);
        if client.set(&key, &value.to_string()).await == Answer::Done(()) {
            self.once.lock().unwrap().insert(key, value);
        }
    }

    /// One client's work, until it is told to stop.
    pub(crate) async fn work(
        self: Arc<Self>,
        mut client: Client,
        number: u64,
        stop: Arc<AtomicUsize>,
    ) {
        let mut rng = Rng::new(number);
        for round in 0_u64.. {
            if stop.load(Ordering::Relaxed) > 0 {
                return;
            }
            match rng.below(20) {
                0 => self.write_once(&mut client, format!("once-{number}-{round}")).await,
                1..=9 => self.write(&mut client, rng.below(KEYS)).await,
                _ => self.read(&mut client, rng.below(KEYS)).await,
            }
            // So that the history of a key stays short enough to be checked.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Whether so much was seen that the check says something.
    pub(crate) fn enough(&self) -> bool {
        self.events.lock().unwrap().len() > 300 && self.once.lock().unwrap().len() > 5
    }

    /// Reads everything a last time, and holds all that was seen against one map.
    pub(crate) async fn check(&self, mut client: Client) {
        for key in 0..KEYS {
            let called = self.now();
            let value = get_surely(&mut client, &format!("shared-{key}")).await.unwrap();
            let op = Op::Read(value.map(|value| value.parse().unwrap()));
            self.note(Event { key, op, called, returned: Some(self.now()) });
        }
        let once = self.once.lock().unwrap().clone();
        for (key, value) in &once {
            let found = get_surely(&mut client, key).await.unwrap();
            assert_eq!(found, Some(value.to_string()), "{key} was acknowledged, and is lost");
        }
        let events = self.events.lock().unwrap().clone();
        println!(
            "{} events seen, {} writes without an answer, {} keys written once",
            events.len(),
            self.unknown.load(Ordering::Relaxed),
            once.len()
        );
        assert!(self.enough(), "there was load");
        for key in 0..KEYS {
            let of_key: Vec<Event> =
                events.iter().filter(|event| event.key == key).copied().collect();
            assert!(linearizable(&of_key), "key {key} is not linearizable: {of_key:#?}");
        }
    }
}

#[test]
fn the_checker_can_tell() {
    let event = |op, called, returned| Event { key: 0, op, called, returned };
    let (one, two) = (Op::Write(1), Op::Write(2));
    let read = |value| Op::Read(Some(value));
    // In order; at the same time, either way; a write without an answer that is seen, or is not, or is seen late.
    let sound = [
        vec![event(one, 0, Some(1)), event(read(1), 2, Some(3))],
        vec![event(one, 0, Some(5)), event(two, 1, Some(4)), event(read(1), 6, Some(7))],
        vec![event(one, 0, Some(1)), event(two, 2, None), event(read(2), 3, Some(4))],
        vec![event(one, 0, Some(1)), event(two, 2, None), event(read(1), 3, Some(4))],
        vec![
            event(two, 0, None),
            event(one, 1, Some(2)),
            event(read(1), 3, Some(4)),
            event(read(2), 5, Some(6)),
        ],
    ];
    // A write that was lost, an old value, a value that comes back, one that nobody wrote.
    let wrong = [
        vec![event(one, 0, Some(1)), event(Op::Read(None), 2, Some(3))],
        vec![event(one, 0, Some(1)), event(two, 2, Some(3)), event(read(1), 4, Some(5))],
        vec![
            event(one, 0, Some(1)),
            event(two, 2, None),
            event(read(2), 3, Some(4)),
            event(read(1), 5, Some(6)),
        ],
        vec![event(one, 0, Some(1)), event(read(9), 2, Some(3))],
    ];
    assert!(sound.iter().all(|events| linearizable(events)));
    assert!(!wrong.iter().any(|events| linearizable(events)));
}
