//! What the figures mean for someone who has to choose: a function of them and of nothing else.

use super::figures::Figures;
use super::log::TICKETS;
use super::report::nanos;
use crate::commands::filesystem;
use crate::size;

const MICRO: u64 = 1_000;
const MILLI: u64 = 1_000_000;

/// No disk without a battery or capacitor writes anything in less.
const TOO_FAST: u64 = 20 * MICRO;
/// From here on a thread that waits for each sync gets hardly anything done.
const SLOW: u64 = 5 * MILLI;
/// A pause that someone notices.
const PAUSE: u64 = 10 * MILLI;
/// A periodic sync should keep the disk busy for no more than one part in this many.
const IDLE: u64 = 100;
/// Choices of `sync_interval`, in milliseconds.
const INTERVALS: [u64; 7] = [10, 20, 50, 100, 200, 500, 1000];

/// One piece of advice: what it is about, for programs, and the sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Advice {
    pub(super) about: &'static str,
    pub(super) text: String,
}

fn advice(about: &'static str, text: impl Into<String>) -> Advice {
    Advice { about, text: text.into() }
}

/// What to know and to choose, the weightiest first.
pub(super) fn advise(figures: &Figures) -> Vec<Advice> {
    if let Some(kind) = figures.filesystem.as_deref().filter(|kind| filesystem::is_memory(kind)) {
        return vec![advice(
            "memory",
            format!(
                "This is {kind}: memory, where a sync does nothing and a power cut leaves nothing. \
                 These figures say nothing of a disk: name a folder on one."
            ),
        )];
    }
    let mut all = vec![sync_time(figures)];
    all.extend(pauses(figures));
    all.push(group_commit(figures));
    all.extend(tickets(figures));
    all.push(os_cache(figures));
    all.extend(mapped(figures));
    all.extend(outrun(figures));
    all.push(interval(figures));
    all.push(background(figures));
    all
}

/// The floor that a log meets: it appends into reserved space.
fn floor(figures: &Figures) -> u64 {
    figures.reserved.unwrap_or(figures.growing).p50
}

fn sync_time(figures: &Figures) -> Advice {
    let floor = floor(figures);
    let rate = size::count(figures.always.rate);
    let time = nanos(floor);
    if floor < TOO_FAST {
        return advice(
            "sync-too-fast",
            format!(
                "A sync takes {time}: faster than a disk can be. Either the drive keeps what it has in a power cut \
                 (capacitors, a battery), or a cache, a driver or a virtual machine's host says so and does \
                 not. Find out which before trusting a durable append here."
            ),
        );
    }
    if floor > SLOW {
        return advice(
            "sync-slow",
            format!(
                "A sync takes {time}: one thread that waits for each gets {rate} durable appends a second. Put what \
                 belongs together into one append_batch, keep many tickets in flight (submit), or append \
                 from many threads: a sync costs the same for one entry and for a thousand."
            ),
        );
    }
    advice(
        "durable",
        format!(
            "A sync takes {time}; Config::durable() gives one thread {rate} appends a second. If that is enough, \
             it is the choice: nothing acknowledged is lost."
        ),
    )
}

fn pauses(figures: &Figures) -> Option<Advice> {
    let timed = figures.reserved.unwrap_or(figures.growing);
    let long = timed.p99 > PAUSE && timed.p99 / 10 > timed.p50;
    long.then(|| {
        advice(
            "sync-uneven",
            format!(
                "One sync in a hundred takes {} or more, half of them {}: something else writes to this disk, or \
                 the drive tidies up. Plan durable appends for the longer time.",
                nanos(timed.p99),
                nanos(timed.p50)
            ),
        )
    })
}

fn group_commit(figures: &Figures) -> Advice {
    let (many, one) = (figures.always_threads.rate, figures.always.rate);
    let threads = figures.threads;
    if tenths(many, one) >= 15 {
        return advice(
            "group-commit",
            format!(
                "{threads} threads get {} times as many durable appends as one ({} a second): one sync serves all \
                 that wait.",
                times(many, one),
                size::count(many)
            ),
        );
    }
    advice(
        "group-commit",
        format!(
            "{threads} threads get {} times what one thread gets: more threads do not make durable appends \
             cheaper here.",
            times(many, one)
        ),
    )
}

fn tickets(figures: &Figures) -> Option<Advice> {
    let (flying, one) = (figures.always_tickets.rate, figures.always.rate);
    (tenths(flying, one) >= 20).then(|| {
        advice(
            "tickets",
            format!(
                "One thread with {TICKETS} tickets in flight gets {} durable entries a second, {} times what it gets \
                 by append: submit, and wait for the ticket only where the answer goes out.",
                size::count(flying),
                times(flying, one)
            ),
        )
    })
}

fn os_cache(figures: &Figures) -> Advice {
    let (cache, one) = (figures.os_cache.rate, figures.always.rate);
    advice(
        "os-cache",
        format!(
            "Config::os_cache() is {} times as fast as durable(), and a crash of the process loses nothing either. \
             It suffices where a power cut may take what came after the last sync: where another machine \
             has a copy, say.",
            times(cache, one)
        ),
    )
}

fn mapped(figures: &Figures) -> Option<Advice> {
    let (mapped, os) = (figures.mapped?.rate, figures.os_cache.rate);
    (tenths(mapped, os) >= 13).then(|| {
        advice(
            "mmap",
            format!(
                "With Engine::Mmap, os_cache() is {} times as fast again ({} a second). If the filesystem fails \
                 under it, the process ends by a signal.",
                times(mapped, os),
                size::count(mapped)
            ),
        )
    })
}

fn outrun(figures: &Figures) -> Option<Advice> {
    let record = figures.payload + 28;
    let fastest = figures.mapped.map_or(0, |timed| timed.rate).max(figures.os_cache.rate);
    (fastest.saturating_mul(record) > figures.sequential).then(|| {
        advice(
            "disk-outrun",
            format!(
                "The disk takes {} a second: {} such entries. Faster appends last until four segments wait to be \
                 synced, then they wait too.",
                size::bytes(figures.sequential),
                size::count(figures.sequential / record)
            ),
        )
    })
}

fn interval(figures: &Figures) -> Advice {
    let sync = figures.growing.p99;
    let wanted = sync.saturating_mul(IDLE) / MILLI;
    let chosen = INTERVALS.into_iter().find(|interval| *interval >= wanted);
    let text = match chosen {
        Some(interval) => format!(
            "sync_interval bounds what a power cut takes outside durable(). {interval} ms costs this disk little: a \
             sync takes {} at worst, one time in a hundred.",
            nanos(sync)
        ),
        None => format!(
            "sync_interval bounds what a power cut takes outside durable(). Leave it at a second or more: one sync \
             in a hundred takes {} here.",
            nanos(sync)
        ),
    };
    advice("sync-interval", text)
}

fn background(figures: &Figures) -> Advice {
    let best = figures.mapped.map_or(0, |timed| timed.rate).max(figures.os_cache.rate);
    let rate = figures.background.rate;
    if tenths(rate, best) >= 15 {
        return advice(
            "background",
            format!(
                "Config::background() is {} times as fast as the best of these, and loses the last moments when \
                 the process crashes: only for what can be had again.",
                times(rate, best)
            ),
        );
    }
    advice(
        "background",
        "Config::background() gains little here, and loses the last moments when the process crashes: os_cache() \
         is the better choice.",
    )
}

fn tenths(a: u64, b: u64) -> u64 {
    a.saturating_mul(10) / b.max(1)
}

/// How many times `b` goes into `a`, as one says it.
fn times(a: u64, b: u64) -> String {
    let tenths = tenths(a, b);
    if tenths >= 100 {
        return size::count(tenths / 10);
    }
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::super::figures::Timed;
    use super::*;

    fn timed(rate: u64, p50: u64, p99: u64) -> Timed {
        Timed { rate, p50, p99, p999: p99, max: p99 }
    }

    /// A good disk of a server.
    fn server() -> Figures {
        Figures {
            filesystem: Some("ext4".to_owned()),
            payload: 128,
            threads: 8,
            growing: timed(4_500, 210 * MICRO, 600 * MICRO),
            reserved: Some(timed(6_500, 150 * MICRO, 400 * MICRO)),
            written: timed(8_000, 120 * MICRO, 300 * MICRO),
            sequential: 1_500 << 20,
            always: timed(6_000, 160 * MICRO, 450 * MICRO),
            always_threads: timed(24_000, 330 * MICRO, 900 * MICRO),
            always_tickets: timed(120_000, 500 * MICRO, MILLI),
            os_cache: timed(800_000, 1_200, 4_000),
            os_cache_threads: timed(700_000, 9_000, 40_000),
            mapped: Some(timed(4_000_000, 200, 900)),
            background: timed(5_000_000, 150, 800),
        }
    }

    fn about(figures: &Figures) -> Vec<&'static str> {
        advise(figures).into_iter().map(|advice| advice.about).collect()
    }

    fn text(figures: &Figures, about: &str) -> String {
        let found = advise(figures).into_iter().find(|advice| advice.about == about);
        found.map(|advice| advice.text).unwrap_or_default()
    }

    #[test]
    fn a_good_disk() {
        let expected = [
            "durable",
            "group-commit",
            "tickets",
            "os-cache",
            "mmap",
            "sync-interval",
            "background",
        ];
        assert_eq!(about(&server()), expected);
        assert!(text(&server(), "durable").contains("6,000 appends"));
        assert!(text(&server(), "group-commit").contains("8 threads get 4.0 times"));
        assert!(text(&server(), "tickets").contains("20 times"));
        assert!(text(&server(), "os-cache").contains("133 times"));
        assert!(text(&server(), "background").contains("gains little"));
    }

    #[test]
    fn memory_says_nothing_of_a_disk() {
        for kind in ["tmpfs", "ramfs"] {
            let figures = Figures { filesystem: Some(kind.to_owned()), ..server() };
            assert_eq!(about(&figures), ["memory"]);
            assert!(text(&figures, "memory").contains(kind));
        }
        assert!(!about(&Figures { filesystem: None, ..server() }).contains(&"memory"));
    }

    #[test]
    fn a_sync_is_judged_by_its_time() {
        let with = |p50| Figures { reserved: Some(timed(1, p50, p50)), ..server() };
        assert_eq!(about(&with(19 * MICRO))[0], "sync-too-fast");
        assert_eq!(about(&with(20 * MICRO))[0], "durable");
        assert_eq!(about(&with(5 * MILLI))[0], "durable");
        assert_eq!(about(&with(5 * MILLI + 1))[0], "sync-slow");
        // Where space cannot be reserved, a log's file grows.
        let growing = Figures { reserved: None, growing: timed(1, 6 * MILLI, 1), ..server() };
        assert_eq!(about(&growing)[0], "sync-slow");
    }

    #[test]
    fn pauses_are_named_if_they_are_long_and_rare() {
        let with = |p50, p99| Figures { reserved: Some(timed(1, p50, p99)), ..server() };
        assert!(about(&with(MILLI, 11 * MILLI)).contains(&"sync-uneven"));
        assert!(!about(&with(MILLI, 9 * MILLI)).contains(&"sync-uneven"), "short");
        assert!(!about(&with(4 * MILLI, 20 * MILLI)).contains(&"sync-uneven"), "not rare");
    }

    #[test]
    fn threads_and_tickets_are_recommended_where_they_gain() {
        let figures = Figures {
            always_threads: timed(7_000, 1, 1),
            always_tickets: timed(11_000, 1, 1),
            mapped: Some(timed(900_000, 1, 1)),
            ..server()
        };
        assert!(text(&figures, "group-commit").contains("1.1 times what one thread gets"));
        assert_eq!(text(&figures, "tickets"), "");
        assert_eq!(text(&figures, "mmap"), "");
        assert!(text(&figures, "background").contains("5.5 times"));
    }

    #[test]
    fn a_disk_slower_than_appends_is_named() {
        let figures = Figures { sequential: 156 * 1_000_000, ..server() };
        assert!(text(&figures, "disk-outrun").contains("1,000,000 such entries"));
    }

    #[test]
    fn the_interval_follows_the_sync() {
        let with = |p99| text(&Figures { growing: timed(1, 1, p99), ..server() }, "sync-interval");
        assert!(with(50 * MICRO).contains(" 10 ms"));
        assert!(with(600 * MICRO).contains(" 100 ms"));
        assert!(with(10 * MILLI).contains(" 1000 ms"));
        assert!(with(11 * MILLI).contains("a second or more"));
    }

    /// A run that measured nothing must not divide by it.
    #[test]
    fn nothing_at_all() {
        let all = advise(&Figures { filesystem: None, mapped: None, ..Figures::default() });
        assert!(!all.is_empty());
    }
}
