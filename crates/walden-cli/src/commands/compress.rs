//! `walden compress`: stores complete segments otherwise.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;
use walden::Compression;
use walden::offline::{Recompress, Recompressed, compress};

use super::offline::{follow, target};
use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::size;

/// Compress the complete segments of a log that nobody writes, or undo it
///
/// Entries, seq ids, times and batches stay as they are; only how they are stored changes. Each segment is written anew
/// beside itself and then takes its own place, so that a crash, Ctrl-C or a full disk leaves a sound log at any moment,
/// and running the command again goes on. The segment that is being written stays as it is.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden compress log                        by Zstandard, where that makes a record smaller\n  \
     walden compress log --level 19 --again     also what is compressed so already\n  \
     walden dictionary train log && walden compress log --dictionary\n  \
     walden compress log --codec none           undo it\n",
    exit_codes!()
))]
pub(crate) struct Compress {
    /// The log's folder
    dir: PathBuf,

    /// What to compress by
    #[arg(long, value_enum, default_value_t = Codec::Zstd)]
    codec: Codec,

    /// How much work Zstandard puts into it: from 1, fast, to 22, small; negative ones are faster still
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-131_072..=22))]
    level: Option<i32>,

    /// With the log's newest dictionary: `walden dictionary train` makes one
    #[arg(long)]
    dictionary: bool,

    /// Also records that are stored by this codec already
    #[arg(long)]
    again: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Codec {
    None,
    Snappy,
    Zstd,
    Lz4,
}

impl Compress {
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        let how = self.how()?;
        let target = target(context, &self.dir)?;
        let bar = context.out.progress("compressing", Some(0));
        let done = compress(&target, &how, &mut follow(&bar))?;
        bar.finish_and_clear();
        let value = json!({
            "segments": done.segments,
            "rewritten": done.rewritten,
            "records": done.records,
            "compressed": done.compressed,
            "bytes_before": done.bytes_before,
            "bytes_after": done.bytes_after,
            "ratio": ratio(&done),
        });
        context.out.result(&value, text(&done))?;
        Ok(Code::Fine)
    }

    fn how(&self) -> Result<Recompress, Failure> {
        let (level, dictionary) = (self.level, self.dictionary);
        if self.codec != Codec::Zstd && (level.is_some() || dictionary) {
            return Err(Failure::usage("--level and --dictionary are for --codec zstd"));
        }
        let compression = match self.codec {
            Codec::None => Compression::None,
            Codec::Snappy => Compression::Snappy,
            Codec::Zstd => Compression::Zstd { level: level.unwrap_or(3) },
            Codec::Lz4 => Compression::Lz4,
        };
        let mut how = Recompress::to(compression);
        if dictionary {
            how = how.with_dictionary();
        }
        Ok(if self.again { how.again() } else { how })
    }
}

/// How many bytes one byte stands for now.
fn ratio(done: &Recompressed) -> f64 {
    if done.bytes_after == 0 { 1.0 } else { done.bytes_before as f64 / done.bytes_after as f64 }
}

fn text(done: &Recompressed) -> String {
    if done.segments == 0 {
        return "no segment is complete yet: nothing to do".to_owned();
    }
    let complete = size::count(done.segments);
    if done.rewritten == 0 {
        return format!(
            "nothing to do: each record of the {complete} complete segments is stored so, or would not get smaller; \
             {} of {} are compressed",
            size::count(done.compressed),
            size::count(done.records)
        );
    }
    format!(
        "wrote {} of {complete} complete segments anew: {} are {} now, a ratio of {:.2}; {} of {} records are compressed",
        size::count(done.rewritten),
        size::bytes(done.bytes_before),
        size::bytes(done.bytes_after),
        ratio(done),
        size::count(done.compressed),
        size::count(done.records)
    )
}
