//! Events in batches, compressed: how much smaller, and that they are read as before.
//!
//! `cargo run --example compression --features zstd [DIR]`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use walden::{Compression, Config, Wal};

/// An event as services write them, about 100 bytes.
fn event(i: u64) -> String {
    format!(
        r#"{{"at":{},"level":"info","service":"orders","order":{i},"ms":{}}}"#,
        1_764_000_000 + i,
        i * 37 % 90
    )
}

fn main() -> walden::Result<()> {
    let dir = std::env::args_os().nth(1).map_or_else(
        || std::env::temp_dir().join(format!("walden-compression-{}", std::process::id())),
        Into::into,
    );

    // Each codec is a feature of the crate; here whichever this build has.
    let codecs = [Compression::Zstd { level: 3 }, Compression::Lz4, Compression::Snappy];
    let codec = codecs.into_iter().find(|codec| codec.is_available()).unwrap_or_default();
    println!("{codec:?}");

    let wal = Wal::open(&dir, Config::os_cache().compression(codec))?;
    // A batch is compressed as a whole: small entries gain most by that.
    for first in (0..10_000).step_by(100) {
        wal.append_batch((first..first + 100).map(event))?;
    }
    // What is compressed already is better left alone.
    let as_it_is = wal.with_compression(Compression::None)?;
    as_it_is.append("a picture, say")?;

    let stats = wal.stats();
    let plain = stats.bytes_appended + stats.bytes_saved;
    println!("{plain} bytes of records took {} on the disk", stats.bytes_appended);
    if let Some(entry) = wal.get(4711)? {
        println!("{}: {}", entry.seq, String::from_utf8_lossy(&entry.payload));
    }
    wal.close()
}
