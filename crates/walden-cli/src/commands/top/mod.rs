//! `walden top`: a log at a glance, in the terminal.
//!
//! A thread looks at the log and sends what it saw ([`view`]); of that a page of lines is made ([`page`]), of which the
//! terminal shows a part ([`screen`]).

#[cfg(feature = "top")]
mod page;
#[cfg(feature = "top")]
mod screen;
#[cfg(feature = "top")]
mod text;
#[cfg(feature = "top")]
mod view;
#[cfg(feature = "top")]
mod words;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::args::exit_codes;
use crate::context::Context;
use crate::exit::{Code, Failure};

/// Show a log at a glance in the terminal, again and again: entries, rates, segments, cursors, the latest entries
///
/// Read-only, beside a writer: no lock is taken and no byte changed, and not all of the log is read, however long it is
/// (but when c is pressed, which checks every byte). q ends it, ? shows the keys. Ctrl-C ends it with exit code 130.
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n  \
     walden top log\n  \
     walden top log --every 5s\n  \
     walden top log --once              one look, as text, where there is no terminal\n",
    exit_codes!()
))]
pub(crate) struct Top {
    /// The log's folder
    dir: PathBuf,

    /// How often to look: from 100ms to 1h
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_every)]
    every: Duration,

    /// Look once, print that as text, and end; with 3 if the log is seen to be damaged
    #[arg(long)]
    once: bool,
}

fn parse_every(text: &str) -> Result<Duration, String> {
    let wrong = || "a time from 100ms to 1h, such as 500ms or 5s".to_owned();
    let every = humantime::parse_duration(text).map_err(|_| wrong())?;
    let bounds = Duration::from_millis(100)..=Duration::from_secs(3600);
    if bounds.contains(&every) { Ok(every) } else { Err(wrong()) }
}

#[cfg(not(feature = "top"))]
impl Top {
    pub(crate) fn run(self, _context: &Context) -> Result<Code, Failure> {
        let Self { dir, every, once } = self;
        drop((dir, every, once));
        Err(Failure::usage("this walden was built without the feature `top`")
            .advice("build it with: cargo install walden-cli --features top"))
    }
}

#[cfg(feature = "top")]
mod with_feature {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use signal_hook::consts::{SIGHUP, SIGTERM};
    use walden::{Error, ErrorKind};
    use walden_inspector::{Check, Watch};

    use super::page::{Page, Palette};
    use super::view::{Looker, View};
    use super::{Code, Context, Failure, Top, screen};
    use crate::signal;

    /// Segments, the newest, and columns of what is printed once.
    const SEGMENTS: usize = 20;
    const COLUMNS: usize = 160;

    impl Top {
        pub(crate) fn run(self, context: &Context) -> Result<Code, Failure> {
            if context.out.json {
                return Err(Failure::usage(
                    "`walden top` is for people: `walden inspect --json` is for programs",
                ));
            }
            // A terminal that cannot move its cursor.
            let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
            if !self.once && (!context.out.terminal || dumb) {
                return Err(Failure::usage(
                    "stdout is no terminal to draw on: `walden top --once` prints what is seen now as text, \
                     `walden inspect` tells all of a log",
                ));
            }
            let watch = Watch::open_unlisted(&self.dir, &context.prefix(&self.dir)?)?;
            if self.once {
                watch.look();
                let view = Looker::new(watch).view();
                context.out.line(as_text(&view).trim_end())?;
                return Ok(code_of(&view));
            }
            self.show(context, &watch)
        }

        fn show(&self, context: &Context, watch: &Watch) -> Result<Code, Failure> {
            let palette = Palette { colours: context.out.on_stdout.colours() };
            let ended = Arc::new(AtomicBool::new(false));
            let interrupted = Arc::new(AtomicBool::new(false));
            let terminated = Arc::new(AtomicBool::new(false));
            let flags = [Arc::clone(&interrupted), Arc::clone(&ended)];
            // Pressed, Ctrl-C is a key; this is for who sends the signal.
            signal::on_interrupt(move || {
                flags.iter().for_each(|f| f.store(true, Ordering::Release))
            });
            // In this order, since the second is what is waited for.
            for flag in [&terminated, &ended] {
                signal_hook::flag::register(SIGTERM, Arc::clone(flag))
                    .map_err(|error| Failure::io("be told of signals", &error))?;
            }
            // The terminal is gone then, and reading from one that is never ends: also where whoever started this ignores it.
            signal_hook::flag::register_conditional_default(
                SIGHUP,
                Arc::new(AtomicBool::new(true)),
            )
            .map_err(|error| Failure::io("be told of signals", &error))?;
            let looker = Looker::new(watch.clone());
            let pressed = screen::run(watch, looker, palette, self.every, &ended)
                .map_err(|error| Failure::io("use the terminal", &error))?;
            if terminated.load(Ordering::Acquire) {
                // The terminal is as it was: now it ends as it would have, so that its parent sees why.
                drop(signal_hook::low_level::emulate_default_handler(SIGTERM));
            }
            let interrupted = pressed || interrupted.load(Ordering::Acquire);
            Ok(if interrupted { Code::Interrupted } else { Code::Fine })
        }
    }

    /// The page, but for older segments, as plain text.
    pub(super) fn as_text(view: &View) -> String {
        let check = Check::default();
        let page = Page::new(view, &check, Palette { colours: false }, COLUMNS, true);
        let older = page.segments().len().saturating_sub(SEGMENTS);
        let mut text = format!("{}\n", view.name);
        for at in 0..page.len() - older {
            let line: String = page.line(at).spans.into_iter().map(|span| span.content).collect();
            text.push_str(line.trim_end());
            text.push('\n');
        }
        if older > 0 {
            text.push_str(&format!("  and {older} older ones: walden inspect\n"));
        }
        text
    }

    /// As what is shown would make a command end that reads it.
    pub(super) fn code_of(view: &View) -> Code {
        let corrupt = |error: Option<&Error>| error.is_some_and(|e| e.kind() == ErrorKind::Corrupt);
        let seen = &view.seen;
        if seen.problem.is_some() && !corrupt(seen.problem.as_ref()) {
            return Code::Error;
        }
        let damaged = corrupt(seen.problem.as_ref())
            || corrupt(seen.segments.as_ref().err())
            || corrupt(view.latest.broken.as_ref())
            || seen.outline.as_ref().is_some_and(|outline| outline.manifest.is_err());
        if damaged { Code::Damage } else { Code::Fine }
    }
}

#[cfg(test)]
#[cfg(feature = "top")]
mod tests;
