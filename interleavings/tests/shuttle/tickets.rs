//! Tickets: a thread that waits, one that waits for some time, a task, a callback.

use std::time::Duration;

use shuttle::sync::mpsc::channel;
use shuttle::{future, thread};
use walden::{Config, Maintenance, SyncStrategy, Ticket, Wal};

use crate::disk::{Slow, background, config};
use crate::explore;

/// Each way of waiting, in a thread of its own.
fn wait_in_each_way(config: Config) {
    let slow = Slow::new();
    let wal = slow.open(config.clone());
    let (told, hear) = channel();
    let submit = |wal: &Wal| wal.submit("entry").unwrap();
    let durable = |wal: &Wal, ticket: &Ticket| assert!(wal.durable_seq() + 1 >= ticket.seqs().end);
    let ways: [Box<dyn FnOnce(&Wal) + Send>; 4] = [
        Box::new(move |wal| {
            let ticket = submit(wal);
            assert_eq!(ticket.wait().unwrap(), ticket.seqs());
            durable(wal, &ticket);
        }),
        Box::new(move |wal| {
            let ticket = submit(wal);
            // Time goes on by itself here: nothing known in time is an outcome, too.
            if let Some(seqs) = ticket.wait_timeout(Duration::from_secs(5)).unwrap() {
                assert_eq!(seqs, ticket.seqs());
                durable(wal, &ticket);
            }
        }),
        Box::new(move |wal| {
            let ticket = submit(wal);
            let seqs = ticket.seqs();
            assert_eq!(future::block_on(ticket).unwrap(), seqs);
            assert!(wal.durable_seq() + 1 >= seqs.end);
        }),
        Box::new(move |wal| {
            let ticket = submit(wal);
            let (seqs, other) = (ticket.seqs(), wal.clone());
            ticket.on_complete(move |outcome| {
                assert!(other.durable_seq() + 1 >= seqs.end);
                assert!(other.sync().is_err() || outcome.is_ok());
                told.send(outcome.unwrap() == seqs).unwrap();
            });
        }),
    ];
    let threads = ways.map(|way| {
        let wal = wal.clone();
        thread::spawn(move || way(&wal))
    });
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(hear.recv().unwrap());
    assert_eq!(wal.next_seq(), 5);
    wal.close().unwrap();
    assert_eq!(slow.after_power_cut(config).len(), 4);
}

/// The sync thread leads for tasks and callbacks, if no thread that waits does.
#[test]
fn each_way_of_waiting() {
    explore(|| wait_in_each_way(config().maintenance(Maintenance::Thread)));
}

/// Where appends do not wait, and a full buffer writes.
#[test]
fn each_way_of_waiting_in_background() {
    explore(|| wait_in_each_way(background().buffer_size(40)));
}

/// A task alone: nobody else ever syncs.
#[test]
fn a_task_alone() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open_at_rest(config().maintenance(Maintenance::Thread));
        let ticket = wal.submit("alone").unwrap();
        assert_eq!(future::block_on(ticket).unwrap(), 1..2);
        assert_eq!(slow.after_power_cut(config()).len(), 1);
    });
}

/// A task and a thread that waits: whichever the leader hands on to, both are served.
#[test]
fn a_leader_with_a_task_behind_it() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open_at_rest(config().maintenance(Maintenance::Thread));
        let appending = wal.clone();
        let appending = thread::spawn(move || appending.append("first").unwrap());
        let tasking = wal.clone();
        let tasking = thread::spawn(move || {
            let ticket = tasking.submit("second").unwrap();
            future::block_on(ticket).unwrap()
        });
        let last = wal.append("third").unwrap();
        appending.join().unwrap();
        tasking.join().unwrap();
        assert!(wal.durable_seq() >= last);
        assert_eq!(slow.after_power_cut(config()).len(), 3);
    });
}

/// `ready` resolves once there is room in flight, and on closing.
#[test]
fn ready_to_submit() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open(config().maintenance(Maintenance::Thread).max_in_flight(30));
        let submitting = wal.clone();
        let submitting = thread::spawn(move || {
            let mut got = 0;
            while got < 3 {
                future::block_on(submitting.ready()).unwrap();
                if let Ok(ticket) = submitting.try_submit("some bytes") {
                    drop(ticket);
                    got += 1;
                }
            }
        });
        wal.append("between").unwrap();
        submitting.join().unwrap();
        assert_eq!(wal.next_seq(), 5);
    });
}

/// Closing tells tickets: durable, for closing syncs, or closed.
#[test]
fn closing_tells_tickets() {
    explore(|| {
        let slow = Slow::new();
        let wal = slow.open(config().sync_strategy(SyncStrategy::Background));
        let ticket = wal.submit("entry").unwrap();
        let task = wal.submit("task").unwrap();
        let waiting = thread::spawn(move || ticket.wait());
        let tasking = thread::spawn(move || future::block_on(task));
        wal.close().unwrap();
        for outcome in [waiting.join().unwrap(), tasking.join().unwrap()] {
            outcome.expect("closing made it durable first");
        }
        assert_eq!(slow.after_power_cut(config()).len(), 2);
    });
}
