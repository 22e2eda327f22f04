//! Figures that are kept beside the tests, and the one command that writes them anew.

use std::path::PathBuf;

/// Whether the figures are to be written anew.
pub(crate) fn blessing() -> bool {
    std::env::var_os("WALDEN_BLESS").is_some_and(|value| value == "1")
}

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "cost", name].iter().collect()
}

/// The figures kept under `name`; none where there is no such file yet.
pub(crate) fn kept(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_default()
}

/// Keeps `text` under `name`.
pub(crate) fn keep(name: &str, text: &str) {
    std::fs::write(path(name), text).unwrap();
}
