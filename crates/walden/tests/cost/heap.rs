//! Allocations: an append makes none, and a reader none for each entry.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use walden::Wal;

use super::{PAYLOAD, WAYS, Way};

thread_local! {
    /// What this thread has allocated: tests run beside each other, and so do the log's own threads.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, with a count of what each thread asks of it.
pub(crate) struct Counting;

fn count() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: everything is the system allocator's; counting allocates nothing and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are handed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Allocations of this thread while `work` runs.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

/// How often each is done; fewer where each waits for the disk.
fn often(way: Way) -> u64 {
    if way.name == "Always" { 300 } else { 10_000 }
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![0_u8; 10]))), 1);
    assert_eq!(allocations(|| _ = std::hint::black_box([0_u8; 10])), 0);
}

/// Buffers have their size after the first few appends; from then on the only thing that grows is the active
/// segment's sparse index: by doubling, so seldom.
#[test]
fn an_append_allocates_nothing() {
    let payload = [7; PAYLOAD];
    let halves = payload.split_at(PAYLOAD / 2);
    for way in WAYS {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(dir.path(), way.config()).unwrap();
        let begin = || {
            for _ in 0..often(way) / 5 {
                wal.append(payload).unwrap();
            }
        };
        begin();
        let single = allocations(|| {
            for _ in 0..often(way) {
                wal.append(payload).unwrap();
            }
        });
        let parts = allocations(|| {
            for _ in 0..often(way) {
                wal.append_parts(&[halves.0, halves.1]).unwrap();
            }
        });
        // Far below one for a hundred.
        assert!(single <= 3 && parts <= 3, "{way:?}: append {single}, in parts {parts}");
    }
}

#[test]
fn reading_on_allocates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(dir.path(), Way::named("OsCache").config()).unwrap();
    for _ in 0..20_000 {
        wal.append([7; PAYLOAD]).unwrap();
    }
    let mut reader = wal.reader();
    let mut read = |count: u64| {
        allocations(|| {
            for _ in 0..count {
                assert!(reader.read_next().unwrap().is_some());
            }
        })
    };
    // The window, and what it takes to open the segment.
    assert!(read(1000) <= 20);
    assert_eq!(read(18_000), 0);
}
