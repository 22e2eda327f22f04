//! `walden archive-verify`: whether all that was archived is there.

use clap::Args;

use super::Reached;
use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};

/// Check an archive: that each object is there and is what was shipped
///
/// Reads all of it, the dictionaries that entries need too, or with --quick only the manifest and the list of objects.
/// Changes nothing, and works beside an archiver. Exit code 3 where something that was archived is missing or changed.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden archive-verify s3://bucket/log\n  \
     walden archive-verify /mnt/backup/log --quick --json\n",
    exit_codes!()
))]
pub(crate) struct ArchiveVerify {
    /// Where it is: s3://bucket/prefix, gs://…, az://…, file:///folder, or a folder
    url: String,

    /// Only that each object is there, and of the right size
    #[arg(long)]
    quick: bool,

    #[command(flatten)]
    reached: Reached,
}

#[cfg(not(feature = "archive"))]
impl ArchiveVerify {
    pub(crate) fn run(self, _context: &Context) -> Result<Code, Failure> {
        Err(super::absent())
    }
}

#[cfg(feature = "archive")]
mod work {
    use serde_json::json;
    use walden_archive::{Depth, Verified};

    use super::{ArchiveVerify, Code, Context, Failure};
    use crate::commands::offline::holds;
    use crate::output::escaped;
    use crate::size;

    impl ArchiveVerify {
        pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
            let archive = super::super::open(&self.url, &self.reached)?;
            let depth = if self.quick { Depth::Listed } else { Depth::Read };
            let bar = context.out.progress("reading", Some(0));
            let verified = archive.verify(depth, &mut |reading| {
                bar.set_length(reading.total);
                bar.set_position(reading.done);
            })?;
            bar.finish_and_clear();
            context.out.result(&value(&verified), text(context, &verified))?;
            Ok(if verified.is_damaged() { Code::Damage } else { Code::Fine })
        }
    }

    fn value(verified: &Verified) -> serde_json::Value {
        let damages = verified.damages.iter().map(|damage| {
            json!({ "object": damage.object_name(), "seq": damage.seq(), "message": damage.message() })
        });
        json!({
            "damaged": verified.is_damaged(),
            "generation": verified.generation,
            "first_seq": verified.first_seq,
            "next_seq": verified.next_seq,
            "objects": verified.objects,
            "bytes": verified.bytes,
            "dictionaries": verified.dictionaries,
            "damages": damages.collect::<Vec<_>>(),
            "unnamed": verified.unnamed,
            "unnamed_bytes": verified.unnamed_bytes,
        })
    }

    fn text(context: &Context, verified: &Verified) -> String {
        let paint = context.out.on_stdout;
        let mut lines: Vec<String> = verified
            .damages
            .iter()
            .map(|damage| format!("{}: {}", paint.bad("damage"), escaped(&damage.to_string())))
            .collect();
        let state = if verified.is_damaged() { paint.bad("damaged") } else { paint.good("sound") };
        lines.push(format!(
            "{state}: {} objects ({}), {}",
            size::count(verified.objects),
            size::bytes(verified.bytes),
            holds(verified.first_seq, verified.next_seq)
        ));
        if verified.dictionaries > 0 {
            lines.push(format!(
                "{} dictionaries that entries need",
                size::count(verified.dictionaries)
            ));
        }
        if verified.unnamed > 0 {
            lines.push(format!(
                "{} objects ({}) that nothing names, left by archivers that were killed or by cuts: --sweep of \
                 `walden archive` removes them",
                size::count(verified.unnamed),
                size::bytes(verified.unnamed_bytes)
            ));
        }
        lines.join("\n")
    }
}
