//! The commands, one file each.

mod adopt;
mod append;
mod archive;
mod bench;
mod cat;
mod compress;
mod copy;
mod cursor;
mod demo;
mod dictionary;
mod filesystem;
mod get;
mod inspect;
mod offline;
mod plan;
mod repair;
mod retain;
mod salvage;
mod serve;
mod tail;
mod top;
mod truncate;
mod verify;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::{Code, Failure};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Append(append::Append),
    Cat(cat::Cat),
    Tail(tail::Tail),
    Get(get::Get),
    Truncate(truncate::Truncate),
    Retain(retain::Retain),
    Inspect(inspect::Inspect),
    Verify(verify::Verify),
    Repair(repair::Repair),
    Salvage(salvage::Salvage),
    Copy(copy::Copy),
    Cursor(cursor::Cursor),
    Compress(compress::Compress),
    Dictionary(dictionary::Dictionary),
    Serve(serve::Serve),
    Top(top::Top),
    Adopt(adopt::Adopt),
    Archive(archive::Archive),
    Restore(archive::Restore),
    ArchiveVerify(archive::ArchiveVerify),
    Bench(bench::Bench),
    Demo(demo::Demo),
    #[command(hide = true)]
    DemoWriter(demo::writer::DemoWriter),
}

impl Command {
    /// # Errors
    /// What went wrong; the failure knows the code to end with.
    pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
        match self {
            Self::Append(command) => command.run(context),
            Self::Cat(command) => command.run(context),
            Self::Tail(command) => command.run(context),
            Self::Get(command) => command.run(context),
            Self::Truncate(command) => command.run(context),
            Self::Retain(command) => command.run(context),
            Self::Inspect(command) => command.run(context),
            Self::Verify(command) => command.run(context),
            Self::Repair(command) => command.run(context),
            Self::Salvage(command) => command.run(context),
            Self::Copy(command) => command.run(context),
            Self::Cursor(command) => command.run(context),
            Self::Compress(command) => command.run(context),
            Self::Dictionary(command) => command.run(context),
            Self::Serve(command) => command.run(context),
            Self::Top(command) => command.run(context),
            Self::Adopt(command) => command.run(context),
            Self::Archive(command) => command.run(context),
            Self::Restore(command) => command.run(context),
            Self::ArchiveVerify(command) => command.run(context),
            Self::Bench(command) => command.run(context),
            Self::Demo(command) => command.run(context),
            Self::DemoWriter(command) => command.run(),
        }
    }
}
