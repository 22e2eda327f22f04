//! What this machine can do.

use std::io;
use std::path::Path;

use crate::Outcome;

/// A folder for a run, in `parent` or where temporary ones are made.
pub(crate) fn folder(parent: Option<&Path>) -> Outcome<tempfile::TempDir> {
    Ok(match parent {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    })
}

pub(crate) fn missing_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Says that something was not tried, and why; an error where nothing may be left out.
pub(crate) fn skip(reason: &str) -> Outcome<()> {
    if std::env::var_os("WALDEN_NO_SKIP").is_some_and(|value| value == "1") {
        return Err(format!("WALDEN_NO_SKIP=1, and this would be skipped: {reason}").into());
    }
    println!("skipped: {reason}");
    Ok(())
}
