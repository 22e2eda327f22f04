//! Which engine a test program runs over: every test once over the default, and all of them again over mapped
//! files, by one test that starts the program anew.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests")]

use std::process::{Command, Stdio};

use walden::{Config, Engine, Wal};

const ENGINE: &str = "WALDEN_TEST_ENGINE";

/// The configuration, over the engine of this run.
pub(crate) fn over(config: Config) -> Config {
    let mapped = std::env::var_os(ENGINE).is_some();
    config.engine(if mapped { Engine::Mmap } else { Engine::Os })
}

/// Why files are not mapped here, if they are not.
fn no_mapping() -> Option<&'static str> {
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(dir.path(), Config::durable().engine(Engine::Mmap)).unwrap();
    (!wal.stats().mapped).then_some("the temporary folder's filesystem cannot reserve or map space")
}

/// Runs all tests of this program but the calling one, over mapped files.
pub(crate) fn rerun_over_mapped_files(caller: &str) {
    if std::env::var_os(ENGINE).is_some() {
        return;
    }
    if let Some(reason) = no_mapping() {
        assert!(std::env::var_os("WALDEN_NO_SKIP").is_none(), "not to be skipped: {reason}");
        eprintln!("skipped: {reason}");
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--skip", caller])
        .env(ENGINE, "mmap")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && !said.contains(" 0 passed"),
        "over mapped files:\n{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
