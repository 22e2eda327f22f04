//! What a run leaves behind: a file that says what was run, on which commit, and what came of it.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::Outcome;

#[derive(Debug)]
pub(crate) struct Evidence {
    name: &'static str,
    pub(crate) seed: u64,
    started: u64,
    commit: Option<String>,
    /// The tree of the log's sources: the same in every commit that has them.
    sources: Option<String>,
    tree_changed: bool,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn said_by(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

impl Evidence {
    /// A run begins, with this seed or one of its own.
    pub(crate) fn begin(name: &'static str, seed: Option<u64>) -> Self {
        let mixed = || now().wrapping_mul(1_000_003) ^ u64::from(std::process::id());
        let evidence = Self {
            name,
            seed: seed.unwrap_or_else(mixed),
            started: now(),
            commit: said_by("git", &["rev-parse", "HEAD"]),
            sources: said_by("git", &["rev-parse", "HEAD:crates/walden/src"]),
            tree_changed: said_by("git", &["status", "--porcelain", "-uno"]).is_some(),
        };
        println!("{name}: seed {}", evidence.seed);
        evidence
    }

    /// Prints the figures, and writes them where that is asked for.
    pub(crate) fn end(
        &self,
        to: Option<&Path>,
        figures: &Value,
        findings: &[String],
    ) -> Outcome<()> {
        // Whoever runs it again is in a folder of another name.
        let here = std::env::current_dir().map(|dir| format!("{}/", dir.display()));
        let here = here.unwrap_or_default();
        let args: Vec<String> =
            std::env::args().skip(1).map(|arg| arg.replace(&here, "")).collect();
        let report = json!({
            "command": format!("cargo run --release -p walden-faults -- {}", args.join(" ")),
            "run": self.name,
            "commit": self.commit,
            "sources_tree": self.sources,
            "tree_changed": self.tree_changed,
            "kernel": said_by("uname", &["-sr"]),
            "seed": self.seed,
            "started_unix": self.started,
            "ended_unix": now(),
            "figures": figures,
            "findings": findings,
        });
        println!("{}", serde_json::to_string_pretty(figures)?);
        if let Some(path) = to {
            std::fs::write(path, format!("{}\n", serde_json::to_string_pretty(&report)?))?;
        }
        Ok(())
    }
}
