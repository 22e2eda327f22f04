//! A place in a bucket that holds an archive, or will.

use std::sync::Arc;
use std::time::SystemTime;

use object_store::ObjectStore;
use object_store::path::Path;
use url::Url;

use crate::chunk::time;
use crate::contents::Contents;
use crate::error::{Error, ErrorKind, Result};
use crate::options::StoreOptions;
use crate::store::Store;

/// A place in a bucket that holds the archive of one log, or will.
///
/// All calls wait for the store, and can be made from any thread, in an async task too (where they are better left
/// to `spawn_blocking`). Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Archive {
    pub(crate) store: Store,
}

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The number of the newest manifest.
    pub generation: u64,
    /// How many archivers there were, one after the other.
    pub term: u64,
    /// The log that it was shipped from last; 0 in an archive without entries.
    pub log_id: u128,
    /// The first seq id.
    pub first_seq: u64,
    /// The seq id that follows the last entry.
    pub next_seq: u64,
    /// Bytes of all objects of records.
    pub bytes: u64,
    /// By when the last entry was appended.
    pub last_append: Option<SystemTime>,
}

impl Archive {
    /// The archive at a URL: `file:///folder`, or, with the feature of that name, `s3://bucket/prefix` (`s3`),
    /// `gs://bucket/prefix` (`gcs`), `az://container/prefix` (`azure`). Nothing is read yet.
    ///
    /// `settings` are the store's own, by the names that `object_store` gives them, such as `aws_region` or
    /// `aws_endpoint`; a name that the store does not know is passed over. In a folder, everything is synced.
    ///
    /// # Errors
    /// `InvalidInput`; `Unsupported` where the feature is not compiled in.
    pub fn open(
        url: &str,
        settings: impl IntoIterator<Item = (String, String)>,
        options: StoreOptions,
    ) -> Result<Self> {
        let wrong = |error: &dyn std::fmt::Display| {
            Error::invalid(format!("{url:?} is no place for an archive: {error}"))
        };
        let parsed = Url::parse(url)
            .map_err(|error| wrong(&error).advice("as in: file:///folder, s3://bucket/prefix"))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(Error::invalid("credentials do not belong into a URL")
                .advice("the store takes them from the environment or from the machine"));
        }
        let (objects, prefix) = place(&parsed, settings)?;
        Self::with_store(objects, prefix.as_ref(), options)
    }

    /// The archive in a folder, which is made when something is shipped. Everything is synced.
    ///
    /// # Errors
    /// `InvalidInput`.
    #[cfg(feature = "fs")]
    pub fn in_folder(dir: impl AsRef<std::path::Path>, options: StoreOptions) -> Result<Self> {
        let wrong = |error: &dyn std::fmt::Display| {
            let dir = dir.as_ref().display();
            Error::invalid(format!("{dir} is no folder for an archive: {error}"))
        };
        let whole = std::path::absolute(dir.as_ref()).map_err(|error| wrong(&error))?;
        let url = Url::from_file_path(&whole).map_err(|()| wrong(&"its name cannot be told"))?;
        Self::open(url.as_str(), [], options)
    }

    /// The archive in a store of the caller's, below `prefix`.
    ///
    /// # Errors
    /// `InvalidInput`.
    pub fn with_store(
        objects: Arc<dyn ObjectStore>,
        prefix: &str,
        options: StoreOptions,
    ) -> Result<Self> {
        let prefix = Path::parse(prefix)
            .map_err(|error| Error::invalid(format!("{prefix:?} is no prefix: {error}")))?;
        Ok(Self { store: Store::new(objects, prefix, options)? })
    }

    /// What it holds, as its newest manifest says.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Unsupported`, `Store`.
    pub fn info(&self) -> Result<Info> {
        let contents = Contents::load(&self.store)?;
        let manifest = contents.manifest();
        let last = manifest.chunks.last().or(manifest.pages.last());
        Ok(Info {
            generation: manifest.generation,
            term: manifest.term,
            log_id: manifest.log_id,
            first_seq: manifest.first_seq,
            next_seq: manifest.end,
            bytes: manifest.bytes(),
            last_append: last.map(|part| time(part.by_micros)),
        })
    }
}

/// The features by which this build can reach a store.
fn feature_of(scheme: &str) -> Option<(&'static str, bool)> {
    Some(match scheme {
        "file" => ("fs", cfg!(feature = "fs")),
        "s3" | "s3a" => ("s3", cfg!(feature = "s3")),
        "gs" => ("gcs", cfg!(feature = "gcs")),
        "az" | "azure" | "adl" | "abfs" | "abfss" => ("azure", cfg!(feature = "azure")),
        _ => return None,
    })
}

fn place(
    url: &Url,
    settings: impl IntoIterator<Item = (String, String)>,
) -> Result<(Arc<dyn ObjectStore>, Path)> {
    let scheme = url.scheme();
    let Some((feature, there)) = feature_of(scheme) else {
        return Err(Error::invalid(format!("{scheme}: is no store that is known"))
            .advice("file:, s3:, gs: and az: are"));
    };
    if !there {
        let what = format!("{scheme}: needs the feature `{feature}`, which this build is without");
        return Err(Error::new(ErrorKind::Unsupported, what)
            .advice(format!("build it with --features {feature}")));
    }
    let wrong = |error: object_store::Error| {
        Error::invalid(format!("{url} is no place for an archive: {error}"))
    };
    #[cfg(feature = "fs")]
    if scheme == "file" {
        // A write that is told to be done is on the disk.
        let store = object_store::local::LocalFileSystem::new().with_fsync(true);
        let path = url
            .to_file_path()
            .map_err(|()| Error::invalid(format!("{url} is no folder of this machine")))?;
        let path = Path::from_absolute_path(&path).map_err(|error| wrong(error.into()))?;
        return Ok((Arc::new(store), path));
    }
    let (store, path) = object_store::parse_url_opts(url, settings).map_err(wrong)?;
    Ok((Arc::from(store), path))
}
