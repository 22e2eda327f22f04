//! Random histories by seed.

use walden_sim::workload::History;

fn seeds(default: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("WALDEN_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("WALDEN_SEEDS").unwrap_or(default)).collect(),
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
