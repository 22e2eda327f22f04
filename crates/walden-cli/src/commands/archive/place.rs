//! From a word of the command line to an archive, and from its errors to ours.

use std::path::Path;

use walden::ErrorKind;
use walden_archive::{Archive, ErrorKind as Kind, StoreOptions};

use super::Reached;
use crate::exit::{Code, Failure};

/// What the names of variables begin with that a store may read.
const VARIABLES: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];

/// The archive that `place` names: a URL, or a folder.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn open(place: &str, reached: &Reached) -> Result<Archive, Failure> {
    let options = StoreOptions::default().bytes_per_second(reached.bandwidth);
    let scheme = place.split_once(':').filter(|(scheme, _)| {
        scheme.len() > 1 && scheme.chars().all(|c| c.is_ascii_alphanumeric())
    });
    if scheme.is_none() {
        return Ok(Archive::in_folder(Path::new(place), options)?);
    }
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        let ours = VARIABLES.iter().any(|begin| name.starts_with(begin));
        ours.then(|| (name.to_lowercase(), value))
    });
    let settings = variables.chain(reached.settings.iter().cloned());
    Ok(Archive::open(place, settings.collect::<Vec<_>>(), options)?)
}

impl From<walden_archive::Error> for Failure {
    fn from(error: walden_archive::Error) -> Self {
        if let Some(log) = error.log() {
            return Self::from(log.clone());
        }
        let kind = match error.kind() {
            Kind::NotFound => ErrorKind::NotFound,
            Kind::Corrupt => ErrorKind::Corrupt,
            Kind::Diverged => ErrorKind::Diverged,
            Kind::Gap => ErrorKind::Gap,
            Kind::OutOfRange => ErrorKind::OutOfRange,
            Kind::Unsupported => ErrorKind::Unsupported,
            Kind::Fenced => ErrorKind::Locked,
            Kind::InvalidInput => ErrorKind::InvalidInput,
            _ => ErrorKind::Io,
        };
        let failure = match error.kind() {
            Kind::InvalidInput => Self::usage(error.message()),
            // A store that this build cannot reach is asked for by an argument.
            Kind::Unsupported if error.object_name().is_none() => Self::usage(error.message()),
            _ => Self::new(kind, error.message()),
        };
        debug_assert!(failure.code != Code::Fine, "an error is not fine");
        match error.what_to_do() {
            Some(advice) => failure.advice(advice),
            None => failure,
        }
    }
}
