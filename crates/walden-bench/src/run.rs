//! Runs cases: their entries in turn, round after round, each in a process of its own.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::figures::{Figures, Result};
use crate::machine;
use crate::results::{Outcome, Results};
use crate::subject::{Fixture, Subject};

/// What a subject may take beside the time that it is to be measured for: making ready, tidying up, a slow disk.
const PATIENCE: Duration = Duration::from_secs(180);

/// What making a fixture may take.
const PATIENCE_FOR_FIXTURES: Duration = Duration::from_secs(1800);

/// Where and for how long.
pub(crate) struct Bench {
    /// Removed by the caller in the end.
    pub(crate) dir: PathBuf,
    pub(crate) seconds: f64,
    pub(crate) rounds: usize,
}

impl Bench {
    /// Runs all `cases` and keeps what is known so far in `path` after each.
    pub(crate) fn run(&self, cases: &[Case], results: &mut Results, path: &Path) -> Result<()> {
        for (at, case) in cases.iter().enumerate() {
            let begun = Instant::now();
            let outcome = self.run_case(case)?;
            tell(at + 1, cases.len(), &outcome, begun.elapsed());
            results.outcomes.push(outcome);
            results.write(path)?;
            let later: BTreeSet<String> =
                cases.iter().skip(at + 1).flat_map(fixtures).map(|made| made.folder()).collect();
            self.remove_fixtures(&later)?;
        }
        Ok(())
    }

    fn run_case(&self, case: &Case) -> Result<Outcome> {
        let mut outcome = Outcome::new(case.clone());
        for fixture in fixtures(case) {
            self.make(&fixture)?;
        }
        for round in 0..case.rounds.map_or(self.rounds, |rounds| rounds.min(self.rounds)) {
            let mut order: Vec<usize> = (0..case.entries.len()).collect();
            // Who goes first changes from round to round, so that nobody gains by it.
            if round % 2 == 1 {
                order.reverse();
            }
            for at in order {
                let Some(entry) = case.entries.get(at) else { continue };
                let measured = self.measure(&entry.subject, case.seconds.unwrap_or(self.seconds));
                let figures = measured.map_err(|error| {
                    outcome.failures.push(format!("{}, round {}: {error}", entry.label, round + 1));
                });
                if let Some(rounds) = outcome.figures.get_mut(at) {
                    rounds.push(figures.ok());
                }
            }
        }
        Ok(outcome)
    }

    fn fixtures(&self) -> PathBuf {
        self.dir.join("fixtures")
    }

    fn make(&self, fixture: &Fixture) -> Result<()> {
        let fixtures = self.fixtures();
        if fixtures.join(fixture.folder()).exists() {
            return Ok(());
        }
        fs::create_dir_all(&fixtures)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["fixture", "--fixtures"]).arg(fixtures);
        command.arg(serde_json::to_string(fixture)?);
        self.wait_for(&mut command, PATIENCE_FOR_FIXTURES)
    }

    fn remove_fixtures(&self, but: &BTreeSet<String>) -> Result<()> {
        let Ok(made) = fs::read_dir(self.fixtures()) else { return Ok(()) };
        for entry in made {
            let entry = entry?;
            if !but.contains(entry.file_name().to_string_lossy().as_ref()) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// Measures in a child process: nothing of one subject is left to the next, a hang or a crash ends that
    /// subject only, and the memory that was resident is its own.
    pub(crate) fn measure(&self, subject: &Subject, seconds: f64) -> Result<Figures> {
        self.measure_under(&[], subject, seconds)
    }

    /// As [`measure`](Self::measure), by a program that runs others.
    pub(crate) fn measure_under(
        &self,
        program: &[String],
        subject: &Subject,
        seconds: f64,
    ) -> Result<Figures> {
        let work = self.dir.join("work");
        if work.exists() {
            fs::remove_dir_all(&work)?;
        }
        fs::create_dir_all(&work)?;
        let result = self.dir.join("result.json");
        let myself = std::env::current_exe()?;
        let mut command = match program {
            [] => Command::new(myself),
            [program, args @ ..] => {
                let mut command = Command::new(program);
                command.args(args).arg(myself);
                command
            }
        };
        command.args(["measure", "--seconds", &seconds.to_string(), "--dir"]).arg(&work);
        command.arg("--fixtures").arg(self.fixtures()).arg("--result").arg(&result);
        command.arg(serde_json::to_string(subject)?);
        // walrus is told its folder, and to be silent, by the environment alone.
        command.env("WALRUS_DATA_DIR", work.join("peer")).env("WALRUS_QUIET", "1");
        machine::fetch_memory(subject.fills())?;
        let patience = PATIENCE + Duration::from_secs_f64(5.0 * seconds);
        let done = self.wait_for(&mut command, patience);
        let figures = done.and_then(|()| Ok(serde_json::from_slice(&fs::read(&result)?)?));
        fs::remove_dir_all(&work)?;
        figures
    }

    fn wait_for(&self, command: &mut Command, patience: Duration) -> Result<()> {
        let errors = self.dir.join("stderr.txt");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&errors)?)
            .spawn()?;
        let status = wait(&mut child, patience)?;
        if status.success() {
            return Ok(());
        }
        let said = fs::read(&errors).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let last = said.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
        Err(format!("{status}: {last}").into())
    }
}

/// Waits for the end of `child`, or kills it.
fn wait(child: &mut Child, patience: Duration) -> Result<ExitStatus> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Err(format!("still not done after {} s: killed", patience.as_secs()).into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn fixtures(case: &Case) -> Vec<Fixture> {
    case.entries.iter().filter_map(|entry| entry.subject.fixture()).collect()
}

/// A run of an hour says how far it is, to whoever still listens.
fn tell(at: usize, of: usize, outcome: &Outcome, took: Duration) {
    let mut said = format!("[{at}/{of}] {} ({:.0} s)\n", outcome.case.name, took.as_secs_f64());
    for (entry, named) in outcome.case.entries.iter().enumerate() {
        if let Some(spread) = outcome.spread(entry, &outcome.case.figure) {
            let unit = crate::figures::unit(&outcome.case.figure);
            let figure = crate::report::short(spread.median);
            said.push_str(&format!("    {:<48} {figure} {unit}\n", named.label));
        }
    }
    for failure in &outcome.failures {
        said.push_str(&format!("    failed: {failure}\n"));
    }
    drop(std::io::stderr().write_all(said.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_hangs_is_killed() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let begun = Instant::now();
        let error = wait(&mut child, Duration::from_millis(50)).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert!(error.to_string().contains("killed"));
    }

    #[test]
    fn a_child_that_fails_is_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench { dir: dir.path().to_owned(), seconds: 1.0, rounds: 1 };
        let mut command = Command::new("sh");
        command.args(["-c", "echo first >&2; echo last words >&2; exit 3"]);
        let error = bench.wait_for(&mut command, PATIENCE).unwrap_err().to_string();
        assert!(error.contains("last words") && error.contains('3'), "{error}");
        assert!(bench.wait_for(&mut Command::new("true"), PATIENCE).is_ok());
    }
}
