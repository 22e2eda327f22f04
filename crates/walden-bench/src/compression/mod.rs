//! What compression makes of real data, and what it costs: each codec, for records of several sizes, one by one and in
//! batches, with and without a dictionary.
//!
//! Apart from the cases, since it is about processor time and size, not about waiting for a disk: what is counted is the
//! time of the thread that appends, or reads, and nothing runs beside it.

mod data;
mod measure;
mod page;
mod picture;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use walden::Compression;

use self::data::Data;
use crate::figures::Result;
use crate::machine::Machine;

/// Entries in a batch.
const BATCH: usize = 64;

/// What stands in a table's columns.
const CODECS: [(&str, Compression); 6] = [
    ("as it is", Compression::None),
    ("LZ4", Compression::Lz4),
    ("Snappy", Compression::Snappy),
    ("Zstd 1", Compression::Zstd { level: 1 }),
    ("Zstd 3", Compression::Zstd { level: 3 }),
    ("Zstd 9", Compression::Zstd { level: 9 }),
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where logs are written; a temporary folder is made in it.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Where compression.json and compression.svg go.
    #[arg(long, default_value = "bench-results")]
    out: PathBuf,
    /// Of each kind of data, so many MiB.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=1024))]
    mib: u64,
    /// How often each is measured: the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Decides on the data that is made.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Put the tables and the machine into this page, between its marks.
    #[arg(long)]
    page: Option<PathBuf>,
}

/// How records are appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Shape {
    Single,
    SingleDictionary,
    Batch,
    BatchDictionary,
}

impl Shape {
    const ALL: [Self; 4] =
        [Self::Single, Self::SingleDictionary, Self::Batch, Self::BatchDictionary];

    const fn name(self) -> &'static str {
        match self {
            Self::Single => "one by one",
            Self::SingleDictionary => "one by one, dictionary",
            Self::Batch => "batches of 64",
            Self::BatchDictionary => "batches of 64, dictionary",
        }
    }

    const fn with_dictionary(self) -> bool {
        matches!(self, Self::SingleDictionary | Self::BatchDictionary)
    }

    const fn batch(self) -> usize {
        if matches!(self, Self::Batch | Self::BatchDictionary) { BATCH } else { 1 }
    }
}

/// One measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    data: String,
    /// The size of its records, as a table says it.
    size: String,
    /// The mean of it, in bytes.
    mean: f64,
    shape: Shape,
    codec: String,
    /// Bytes of payload for one byte of log, headers included.
    ratio: f64,
    /// MB (10^6 bytes) of payload a second of processor time.
    append: f64,
    read: f64,
}

/// All of a run.
#[derive(Debug, Serialize, Deserialize)]
struct Run {
    machine: Machine,
    mib: u64,
    rounds: u32,
    seed: u64,
    rows: Vec<Row>,
}

/// Measures, writes `compression.json` and the plot, and prints the tables.
pub(crate) fn run(args: &Args) -> Result<String> {
    std::fs::create_dir_all(&args.out)
        .map_err(|error| format!("{}: {error}", args.out.display()))?;
    let scratch = tempfile::Builder::new()
        .prefix("walden-bench-")
        .tempdir_in(&args.dir)
        .map_err(|error| format!("{}: {error}", args.dir.display()))?;
    let bytes = usize::try_from(args.mib << 20)?;
    let mut run = Run {
        machine: Machine::look(&args.dir),
        mib: args.mib,
        rounds: args.rounds,
        seed: args.seed,
        rows: Vec::new(),
    };
    for data in Data::all(args.seed, bytes, scratch.path())? {
        for (size, records) in data.records() {
            rows_of(&data.name, &size, &records, args.rounds, scratch.path(), &mut run.rows)?;
        }
    }
    std::fs::write(args.out.join("compression.json"), serde_json::to_vec_pretty(&run)?)?;
    picture::draw(&run.rows, &args.out.join("compression.svg"))?;
    let tables = page::tables(&run);
    if let Some(page) = &args.page {
        page::put(page, &tables)?;
    }
    Ok(tables)
}

/// Measures records in all ways.
fn rows_of(
    data: &str,
    size: &str,
    records: &[&[u8]],
    rounds: u32,
    scratch: &Path,
    rows: &mut Vec<Row>,
) -> Result<()> {
    // A dictionary is trained from other records than those that are compressed with it.
    let (learnt_from, records) = records.split_at(records.len() / 5);
    let mean =
        records.iter().map(|record| record.len()).sum::<usize>() as f64 / records.len() as f64;
    let dictionary = match mean > 8192.0 {
        true => None,
        false => measure::dictionary(&scratch.join("trained"), learnt_from)?,
    };
    for shape in Shape::ALL {
        for (codec, compression) in CODECS {
            let is_zstd = matches!(compression, Compression::Zstd { .. });
            let dictionary = match (shape.with_dictionary(), &dictionary) {
                (false, _) => None,
                (true, Some(dictionary)) if is_zstd => Some(&dictionary[..]),
                (true, _) => continue,
            };
            let way = measure::Way { compression, dictionary, batch: shape.batch() };
            let made = measure::median(&scratch.join("log"), records, &way, rounds)?;
            rows.push(Row {
                data: data.to_owned(),
                size: size.to_owned(),
                mean,
                shape,
                codec: codec.to_owned(),
                ratio: made.ratio,
                append: made.append,
                read: made.read,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_way_from_data_to_a_page() {
        let dir = tempfile::tempdir().unwrap();
        let page = dir.path().join("page.md");
        std::fs::write(
            &page,
            "# Before\n\n<!-- figures: begin -->\nold\n<!-- figures: end -->\n\nafter\n",
        )
        .unwrap();
        let args = Args {
            dir: dir.path().to_owned(),
            out: dir.path().join("out"),
            mib: 1,
            rounds: 1,
            seed: 7,
            page: Some(page.clone()),
        };
        let tables = run(&args).unwrap();
        let text = std::fs::read_to_string(page).unwrap();
        assert!(text.starts_with("# Before") && text.ends_with("after\n") && !text.contains("old"));
        assert!(text.contains(tables.trim()));
        let json = std::fs::read(dir.path().join("out/compression.json")).unwrap();
        let run: Run = serde_json::from_slice(&json).unwrap();
        let ratio = |data: &str, shape: Shape, codec: &str| {
            let row = run.rows.iter().find(|row| {
                row.data == data && row.size == "lines" && row.shape == shape && row.codec == codec
            });
            row.unwrap().ratio
        };
        // What must be so of any machine.
        assert!(ratio("JSON lines", Shape::Batch, "Zstd 3") > 3.0);
        let alone = ratio("JSON lines", Shape::Single, "Zstd 3");
        assert!(ratio("JSON lines", Shape::SingleDictionary, "Zstd 3") > alone * 1.3);
        assert!((0.8..0.95).contains(&ratio("JSON lines", Shape::Single, "as it is")));
        let packed = run.rows.iter().filter(|row| row.data.starts_with("compressed"));
        assert!(packed.clone().count() > 0 && packed.clone().all(|row| row.ratio < 1.1));
        assert!(run.rows.iter().all(|row| row.append > 0.0 && row.read > 0.0));
        assert!(dir.path().join("out/compression.svg").exists());
    }
}
