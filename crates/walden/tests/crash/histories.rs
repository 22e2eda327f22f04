//! Random histories by seed.

use walden_sim::workload::History;

fn seeds(default: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("WALDEN_SEED") {
        Some(seed) => vec![seed],
        // Each fourth from 10,000 on has a consumer.
        None => {
            let seeds = number("WALDEN_SEEDS").unwrap_or(default);
            (0..seeds).chain((10_000..10_000 + 2 * seeds).step_by(4)).collect()
        }
    }
}

#[test]
fn no_promise_is_broken() {
    for seed in seeds(1500) {
        let history = History::of_seed(seed);
        if let Err(violation) = history.run() {
            let short = history.shrink(violation.rule).run().expect_err("as the whole one");
            eprintln!("{}", short.trace.join("\n"));
            panic!("seed {seed}: {violation}; run it alone with WALDEN_SEED={seed}");
        }
    }
}

/// What the simulation found once: the seed, and the steps that were enough.
#[test]
fn what_was_found_stays_mended() {
    for (seed, steps) in [
        // A cut on a full disk went on without sealing what lay before it.
        (1161, &[33, 34, 35, 36, 41, 42, 45, 46][..]),
        // A generation of the manifest that was written in part won at the next opening.
        (11582, &[1, 2, 3, 7, 9, 11, 12, 13, 16, 17, 18, 29, 30]),
        // Retention removed the segment that an unfinished cut kept; the log did not open any more.
        (30282, &[55, 57, 60, 61, 62, 63, 66, 80, 84]),
        // A cursor in a file that had found no room for its second slot: a cut of the front could not move it.
        (10_812, &[39, 41, 43, 78, 92, 95, 101, 102, 105, 106, 111, 112, 114, 116]),
        // A cursor that was moved to a later epoch before a crash, which a cut from before that epoch then took.
        (9_011_184, &[44, 45, 46, 47, 49, 53, 55, 60, 65, 66, 73, 74, 76, 81, 82, 84]),
        // Opened in the middle of a cut through a batch, with no room to go on: its survivors were not found.
        (2_004_899, &[67, 84, 88, 116]),
    ] {
        let ran = History::of_seed(seed).only(steps).run();
        assert!(ran.is_ok(), "seed {seed}: {ran:?}");
    }
}
