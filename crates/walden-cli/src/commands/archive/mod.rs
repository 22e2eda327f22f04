//! `walden archive`, `walden restore`, `walden archive-verify`: a log in object storage.
//!
//! The commands are there in every build; one without the feature `archive` says how to get one that can.

#[cfg(feature = "archive")]
mod place;
mod restore;
mod ship;
mod verify;

use clap::Args;

pub(crate) use self::restore::Restore;
pub(crate) use self::ship::Archive;
pub(crate) use self::verify::ArchiveVerify;

#[cfg(feature = "archive")]
pub(super) use self::place::open;

/// How an archive is reached.
#[derive(Debug, Clone, Args)]
pub(crate) struct Reached {
    /// A setting of the store, by the name that object_store gives it, as in aws_region=eu-west-1; variables such as
    /// AWS_REGION are read too
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,

    /// At most so many bytes a second, both ways together
    #[arg(long, value_parser = crate::size::parse_size, value_name = "SIZE")]
    bandwidth: Option<u64>,
}

impl Reached {
    /// By variables alone.
    #[cfg(feature = "archive")]
    pub(super) const fn plain() -> Self {
        Self { settings: Vec::new(), bandwidth: None }
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_lowercase(), value.to_owned())),
        _ => Err("a setting is NAME=VALUE".to_owned()),
    }
}

/// Where a build has no archives.
#[cfg(not(feature = "archive"))]
pub(super) fn absent() -> crate::exit::Failure {
    crate::exit::Failure::usage("this build of walden is without archives").advice(
        "build it with them: cargo install walden-cli --features archive (and s3, gcs or azure)",
    )
}
