//! `walden archive`: ships a log to object storage.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Reached;
use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::size;

/// Ship a log to object storage, or to a folder, as it grows
///
/// Ships what is durable and not there yet, and ends; with --every it goes on until Ctrl-C (exit code 130). It reads
/// beside the log's writer and writes nothing to the log, but with --hold. What is there is a proved run of entries
/// without a gap, whatever happens in between. Of two archivers on one place, the older one is refused.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden archive log /mnt/backup/log                        into a folder\n  \
     walden archive log s3://bucket/log --tail --every 5s      all the time, the newest entries too\n  \
     walden archive log gs://bucket/log --keep-age 30d         and remove what is older\n",
    exit_codes!()
))]
pub(crate) struct Archive {
    /// The log's folder
    dir: PathBuf,

    /// Where to: s3://bucket/prefix, gs://…, az://…, file:///folder, or a folder
    url: String,

    /// Entries of the segment that is being written, too, and not only of complete ones
    #[arg(long)]
    tail: bool,

    /// Go on, with so much time between
    #[arg(long, value_parser = pause, value_name = "TIME")]
    every: Option<Duration>,

    /// Open the log for writing, and keep retention from removing what is not archived yet, by a cursor of this name
    #[arg(long, value_name = "CURSOR", value_parser = crate::commands::cursor::parse_name)]
    hold: Option<String>,

    /// Bytes of records in an object
    #[arg(long, value_parser = size::parse_size, value_name = "SIZE", default_value = "8MiB")]
    object_size: u64,

    /// Where the log was cut at its end, cut the archive, too
    #[arg(long)]
    follow_cuts: bool,

    /// Remove from the archive what was appended longer ago: 12h, 30d
    #[arg(long, value_parser = size::parse_duration, value_name = "AGE")]
    keep_age: Option<Duration>,

    /// Remove the oldest from the archive while it is larger
    #[arg(long, value_parser = size::parse_size, value_name = "SIZE")]
    keep_bytes: Option<u64>,

    /// Remove objects that nothing names: left by archivers that were killed
    #[arg(long)]
    sweep: bool,

    #[command(flatten)]
    reached: Reached,
}

fn pause(text: &str) -> Result<Duration, String> {
    match size::parse_duration(text)? {
        Duration::ZERO => Err("at least 1s lies between".to_owned()),
        pause => Ok(pause),
    }
}

#[cfg(not(feature = "archive"))]
impl Archive {
    pub(crate) fn run(self, _context: &Context) -> Result<Code, Failure> {
        Err(super::absent())
    }
}

#[cfg(feature = "archive")]
mod work {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use serde_json::json;
    use walden::{Config, LogReader, Wal};
    use walden_archive::{Archiver, ArchiverOptions, Keep, Shipped, Shipping, Source};

    use super::{Archive, Code, Context, Duration, Failure, size};
    use crate::signal;

    /// How soon Ctrl-C is noticed.
    const LOOK: Duration = Duration::from_millis(100);

    impl Archive {
        pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
            let archive = super::super::open(&self.url, &self.reached)?;
            let source = self.source(context)?;
            let mut archiver = Archiver::new(&archive, source, self.options())?;
            if let Some(cursor) = &self.hold {
                archiver = archiver.hold(cursor)?;
            }
            if self.sweep {
                let (objects, bytes) = archiver.sweep()?;
                context.out.note(&format!(
                    "removed {} objects that nothing named, {}",
                    size::count(objects),
                    size::bytes(bytes)
                ));
            }
            let Some(every) = self.every else {
                let shipped = round(context, &mut archiver)?;
                tell(context, &archiver, shipped)?;
                return Ok(Code::Fine);
            };
            let ended = Arc::new(AtomicBool::new(false));
            let flag = Arc::clone(&ended);
            signal::on_interrupt(move || flag.store(true, Ordering::Release));
            while !ended.load(Ordering::Acquire) {
                match round(context, &mut archiver) {
                    Ok(shipped) if shipped.objects > 0 => tell(context, &archiver, shipped)?,
                    Ok(_) => {}
                    Err(error) if error.is_final() => return Err(error.into()),
                    Err(error) => context.out.note(&format!("tried again later: {error}")),
                }
                let mut waited = Duration::ZERO;
                while waited < every && !ended.load(Ordering::Acquire) {
                    let pause = LOOK.min(every.saturating_sub(waited));
                    std::thread::sleep(pause);
                    waited += pause;
                }
            }
            Ok(Code::Interrupted)
        }

        fn source(&self, context: &Context) -> Result<Source, Failure> {
            if self.hold.is_none() {
                return Ok(context.reader(&self.dir)?.into());
            }
            let prefix = context.prefix(&self.dir)?;
            // Opening for writing makes a log where there is none; this must not.
            LogReader::open_prefix(&self.dir, &prefix)?;
            Ok(Wal::open(&self.dir, Config::durable().segment_prefix(prefix))?.into())
        }

        fn options(&self) -> ArchiverOptions {
            let mut keep = Keep::default();
            if let Some(age) = self.keep_age {
                keep = keep.max_age(age);
            }
            if let Some(bytes) = self.keep_bytes {
                keep = keep.max_bytes(bytes);
            }
            ArchiverOptions::default()
                .tail(self.tail)
                .chunk_bytes(self.object_size)
                .follow_cuts(self.follow_cuts)
                .keep(keep)
        }
    }

    fn round(context: &Context, archiver: &mut Archiver) -> walden_archive::Result<Shipped> {
        let bar = context.out.steps("archiving", 0);
        let shipped = archiver.ship(&mut |shipping: Shipping| {
            bar.set_length(shipping.total);
            bar.set_position(shipping.done);
            bar.set_message(size::bytes(shipping.bytes));
        });
        bar.finish_and_clear();
        shipped
    }

    fn tell(context: &Context, archiver: &Archiver, shipped: Shipped) -> Result<(), Failure> {
        let next = archiver.archived();
        let value = json!({
            "entries": shipped.entries,
            "bytes": shipped.bytes,
            "objects": shipped.objects,
            "removed": shipped.removed,
            "next_seq": next,
        });
        let removed = match shipped.removed {
            0 => String::new(),
            removed => format!(", removed {} old ones", size::count(removed)),
        };
        let text = format!(
            "shipped {} entries in {} objects ({}){removed}; archived up to before seq id {next}",
            size::count(shipped.entries),
            size::count(shipped.objects),
            size::bytes(shipped.bytes)
        );
        context.out.result(&value, text)
    }
}
