//! The command's arguments. A handful, so that those who use the crate's library need no parser.

use std::ffi::OsString;
use std::time::Duration;

pub(crate) const HELP: &str = "\
Runs histories of a Walden log on a simulated disk that fails, fills up and loses power,
and checks every promise after every step.

usage: walden-sim [--seeds N] [--seed S] [--minutes M] [--jobs J] [--steps I,J,..] [--json]

  --seeds N     how many histories (10,000, or until the minutes are over)
  --seed S      the first seed (0); by itself, this one history
  --minutes M   how long; fractions will do
  --jobs J      how many at once (as many as there are processors)
  --steps ..    of the history of --seed only the steps with these numbers
  --json        what was done, as one line of JSON

exit code: 0 nothing was found, 1 a promise is broken (the seed, the shortest history that was found
to break it, and the command that runs it again are printed), 2 bad arguments
";

/// What is asked for.
#[derive(Debug, PartialEq)]
pub(crate) enum Wish {
    Help,
    Run(Args),
}

/// How to run.
#[derive(Debug, PartialEq)]
pub(crate) struct Args {
    pub(crate) first_seed: u64,
    /// `None`: until the time is over.
    pub(crate) seeds: Option<u64>,
    pub(crate) time: Option<Duration>,
    pub(crate) jobs: usize,
    pub(crate) steps: Option<Vec<u64>>,
    pub(crate) json: bool,
}

impl Args {
    pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Wish, String> {
        let (mut seed, mut seeds, mut time, mut jobs, mut steps) = (None, None, None, None, None);
        let mut json = false;
        let mut args = args.map(|arg| arg.to_string_lossy().into_owned());
        while let Some(arg) = args.next() {
            // Both `--seed 3` and `--seed=3`.
            let (name, given) = match arg.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (arg, None),
            };
            let mut value = || {
                given.clone().or_else(|| args.next()).ok_or_else(|| format!("{name} needs a value"))
            };
            match name.as_str() {
                "--seed" => seed = Some(number(&name, &value()?)?),
                "--seeds" => seeds = Some(number(&name, &value()?)?),
                "--jobs" => jobs = Some(number(&name, &value()?)?),
                "--minutes" => time = Some(minutes(&value()?)?),
                "--steps" => {
                    let list = value()?;
                    let ids = list.split(',').filter(|id| !id.is_empty());
                    let ids: Result<_, _> = ids.map(|id| number(&name, id)).collect();
                    steps = Some(ids?);
                }
                "--json" if given.is_none() => json = true,
                "--help" | "-h" => return Ok(Wish::Help),
                _ => return Err(format!("there is no {name}")),
            }
        }
        if steps.is_some() && seed.is_none() {
            return Err("--steps needs the --seed of the history".to_owned());
        }
        let seeds = match (seeds, seed, time) {
            (Some(0), ..) => return Err("--seeds 0 runs nothing".to_owned()),
            (None, Some(_), None) => Some(1),
            (None, None, None) => Some(10_000),
            (seeds, ..) => seeds,
        };
        let jobs = match jobs {
            Some(0) => return Err("--jobs 0 runs nothing".to_owned()),
            Some(jobs) => usize::try_from(jobs).unwrap_or(usize::MAX).min(1024),
            None => std::thread::available_parallelism().map_or(1, Into::into),
        };
        Ok(Wish::Run(Self { first_seed: seed.unwrap_or(0), seeds, time, jobs, steps, json }))
    }
}

fn number(name: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{name} {text}: not a number from 0 to 2^64 - 1"))
}

fn minutes(text: &str) -> Result<Duration, String> {
    let minutes = text.parse::<f64>().ok();
    let time = minutes.and_then(|minutes| Duration::try_from_secs_f64(minutes * 60.0).ok());
    time.ok_or_else(|| format!("--minutes {text}: not a length of time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Wish, String> {
        Args::parse(line.split_whitespace().map(OsString::from))
    }

    fn args(line: &str) -> Args {
        match parse(line) {
            Ok(Wish::Run(args)) => args,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let all = args("");
        assert_eq!((all.first_seed, all.seeds, all.time), (0, Some(10_000), None));
        assert!(all.jobs > 0 && all.steps.is_none() && !all.json);
        assert_eq!(args("--seed 7").seeds, Some(1));
        let some = args("--seed=7 --seeds 20 --jobs 3 --json");
        assert_eq!((some.first_seed, some.seeds, some.jobs, some.json), (7, Some(20), 3, true));
        let timed = args("--minutes 0.5");
        assert_eq!((timed.seeds, timed.time), (None, Some(Duration::from_secs(30))));
        assert_eq!(args("--seed 1 --minutes 2").seeds, None);
        assert_eq!(args("--seed 1 --steps 4,2,9").steps, Some(vec![4, 2, 9]));
        assert_eq!(args("--seed 1 --steps=").steps, Some(vec![]));
        assert_eq!(parse("--jobs 2 --help"), Ok(Wish::Help));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "--seeds",
            "--seeds x",
            "--seeds -1",
            "--seeds 0",
            "--jobs 0",
            "--minutes -1",
            "--minutes nan",
            "--minutes 1e300",
            "--steps 1",
            "--seed 1 --steps a",
            "--json=yes",
            "--speed 9",
            "nonsense",
        ] {
            let error = parse(line).expect_err(line);
            assert!(!error.is_empty() && !error.contains('\n'), "{error}");
        }
    }
}
