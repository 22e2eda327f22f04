//! What is asked for: the arguments that all commands share, and what to do when they make no sense.

use std::ffi::{OsStr, OsString};

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{Args, Parser};

use crate::commands::Command;
use crate::exit::{Code, Failure};
use crate::output::Output;

/// The end of each help page.
macro_rules! exit_codes {
    () => {
        "\nExit codes:\n  \
         0    done; also when the reader of our output closed the pipe\n  \
         1    an error, named on stderr\n  \
         2    the arguments make no sense\n  \
         3    the log is damaged: bytes that were durable are not what was written\n  \
         130  ended by Ctrl-C (143 by SIGTERM)"
    };
}
pub(crate) use exit_codes;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// A write-ahead log from the shell: append to it, read it, follow it, cut it.
///
/// A log is a folder. Each entry in it has a seq id: 1, 2, 3 and so on, without gaps. What `append`
/// has acknowledged is there after a crash or a power cut, and what is damaged is told from what was
/// torn off while it was being written.
#[derive(Debug, Parser)]
#[command(
    name = "walden",
    version,
    styles = STYLES,
    propagate_version = false,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = concat!(
        "Examples:\n  \
         walden demo                               see it survive crashes, in under 30 seconds\n  \
         echo hello | walden append log            make a log of one entry\n  \
         walden cat log                            read it\n  \
         walden tail log --follow                  see what others append\n  \
         walden cat log --json | jq -r .payload    read it by program\n",
        exit_codes!(),
        "\n\nEnvironment:\n  \
         NO_COLOR  set to anything: no colours"
    )
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Write JSON: results on stdout, an error as one object on stderr
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) json: bool,

    /// Which log, where a folder holds several: what the names of its files begin with
    #[arg(long, global = true, value_name = "PREFIX", help_heading = "Everywhere")]
    pub(crate) prefix: Option<String>,
}

/// The arguments, or the code to exit with: help was shown, or a complaint was made.
pub(crate) fn parse() -> Result<(Global, Command), Code> {
    parse_from(std::env::args_os()).map_err(|error| explain(&error))
}

/// The arguments, the program's name first.
pub(crate) fn parse_from(
    args: impl IntoIterator<Item = OsString>,
) -> Result<(Global, Command), clap::Error> {
    Cli::try_parse_from(args).map(|cli| (cli.global, cli.command))
}

fn explain(error: &clap::Error) -> Code {
    let asked_for_help = !error.use_stderr();
    let json = std::env::args_os().any(|arg| arg == OsStr::new("--json"));
    if json && !asked_for_help {
        let text = error.render().to_string();
        let text = text.trim().trim_start_matches("error: ");
        Failure::usage(text).report(&Output::new(true));
    } else if error.print().is_err() {
        // Nobody reads it: a closed pipe, most likely.
        return if asked_for_help { Code::Fine } else { Code::Usage };
    }
    if asked_for_help { Code::Fine } else { Code::Usage }
}

/// The help pages of all commands, one after the other.
pub(crate) fn whole_help() -> String {
    use clap::CommandFactory;
    let mut cli = Cli::command();
    let mut text = cli.render_long_help().to_string();
    let names: Vec<_> = cli.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        if let Some(sub) = cli.find_subcommand_mut(&name) {
            text.push_str(&sub.render_long_help().to_string());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_page_has_an_example_and_the_exit_codes() {
        for sub in Cli::command().get_subcommands_mut() {
            if sub.is_hide_set() || sub.get_name() == "help" {
                continue;
            }
            let name = sub.get_name().to_owned();
            let help = sub.render_long_help().to_string();
            assert!(help.contains("Example"), "{name} shows no example");
            assert!(help.contains(&format!("walden {name}")), "{name} does not show itself");
            assert!(help.contains("Exit codes:"), "{name} does not tell its exit codes");
        }
    }
}
