//! How often threads go to sleep, by the kernel's count: a thousand followers that have all there is, and two that append.

use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

use walden::{Config, Event, Wal};

const FOLLOWERS: usize = 1000;

/// How often each thread of this process with this name has gone to sleep so far.
fn sleeps(name: &str) -> Vec<(u32, u64)> {
    let field = |status: &str, field: &str| {
        status.lines().find_map(|line| line.strip_prefix(field)).map(|v| v.trim().to_owned())
    };
    let mut found = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        let Ok(status) = std::fs::read_to_string(task.join("status")) else { continue };
        if field(&status, "Name:").as_deref() == Some(name) {
            let count = field(&status, "voluntary_ctxt_switches:").unwrap().parse().unwrap();
            let id = task.file_name().unwrap().to_str().unwrap().parse().unwrap();
            found.push((id, count));
        }
    }
    found.sort_unstable();
    found
}

/// Waits until no thread of this name has gone to sleep between two looks: all sleep.
fn asleep(name: &str) -> Vec<(u32, u64)> {
    let mut before = sleeps(name);
    for looks in 0.. {
        assert!(looks < 1000, "they never come to rest");
        std::thread::sleep(Duration::from_millis(30));
        let after = sleeps(name);
        if before == after {
            break;
        }
        before = after;
    }
    before
}

/// None polls: while nothing is appended none of a thousand wakes up once; of what is appended each gets all.
#[test]
fn a_thousand_followers_sleep_until_there_is_something() {
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(dir.path(), Config::os_cache()).unwrap();
    wal.append("before").unwrap();
    let begun = Barrier::new(FOLLOWERS + 1);
    std::thread::scope(|scope| {
        for _ in 0..FOLLOWERS {
            let (mut follower, begun) = (wal.follow(wal.next_seq()).unwrap(), &begun);
            let follow = move || {
                begun.wait();
                for expected in [b"first", b"other"] {
                    match follower.next_blocking().unwrap() {
                        Event::Entry(entry) => assert_eq!(&entry.payload[..], expected),
                        other => panic!("{other:?}"),
                    }
                }
            };
            let thread = std::thread::Builder::new().name("follows".into()).stack_size(128 << 10);
            thread.spawn_scoped(scope, follow).unwrap();
        }
        begun.wait();
        let before = asleep("follows");
        assert_eq!(before.len(), FOLLOWERS);
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(sleeps("follows"), before, "someone woke up for nothing");
        // Another's log makes none of these wake up.
        let other = Wal::open(Path::new(&dir.path().join("other")), Config::os_cache()).unwrap();
        other.append("another's").unwrap();
        assert_eq!(asleep("follows"), before, "someone woke up for another log");
        wal.append("first").unwrap();
        let woken = asleep("follows");
        let once = woken.iter().zip(&before).filter(|(after, before)| after.1 > before.1).count();
        assert_eq!(once, FOLLOWERS, "all were told");
        wal.append("other").unwrap();
    });
    wal.close().unwrap();
}

/// std's mutex alone has each wake the other at every tenth append or so.
#[test]
fn two_that_append_all_the_time_take_turns() {
    const APPENDS: u64 = 200_000;
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(dir.path(), Config::os_cache()).unwrap();
    let slept = std::thread::scope(|scope| {
        let append = || {
            (0..APPENDS).for_each(|_| _ = wal.append([7; 128]).unwrap());
            let own = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let count = own.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            count.unwrap().trim().parse::<u64>().unwrap()
        };
        let two = [scope.spawn(append), scope.spawn(append)];
        two.map(|thread| thread.join().unwrap()).iter().sum::<u64>()
    });
    assert!(slept < 2 * APPENDS / 30, "{slept} times asleep in {} appends", 2 * APPENDS);
    wal.close().unwrap();
}
