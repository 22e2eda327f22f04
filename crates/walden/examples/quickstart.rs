//! Ten lines: append durably, replay, go on.
//!
//! `cargo run --example quickstart [DIR]`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use walden::{Config, Wal};

fn main() -> walden::Result<()> {
    let dir = std::env::args_os().nth(1).map_or_else(
        || std::env::temp_dir().join(format!("walden-quickstart-{}", std::process::id())),
        Into::into,
    );

    let wal = Wal::open(&dir, Config::durable())?;
    for entry in wal.range(..)? {
        let entry = entry?;
        println!("replayed {}: {}", entry.seq, String::from_utf8_lossy(&entry.payload));
    }
    let seq = wal.append("hello, log")?; // durable once this returns
    println!("appended {seq}");
    let seqs = wal.append_batch(["all", "or", "nothing"])?;
    println!("appended {seqs:?} as one");
    wal.close()?;

    println!("run it again with the same folder to replay: {}", dir.display());
    Ok(())
}
