//! A Walden log in object storage: shipped as it grows, proved without a gap, restored to any point.
//!
//! ```
//! use walden::{Config, Wal};
//! use walden_archive::{Archive, Archiver, ArchiverOptions, StoreOptions, Until};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let (log, elsewhere) = (dir.path().join("log"), dir.path().join("restored"));
//! # let url = url::Url::from_directory_path(dir.path().join("bucket")).unwrap().to_string();
//! let wal = Wal::open(&log, Config::durable())?;
//! wal.append_batch(["a", "b", "c"])?;
//!
//! let archive = Archive::open(&url, [], StoreOptions::default())?; // s3://bucket/prefix, say
//! let options = ArchiverOptions::default().tail(true);
//! // Retention of the log keeps what is not in the archive yet.
//! let mut archiver = Archiver::new(&archive, wal.clone(), options)?.hold("archive")?;
//! archiver.ship(&mut |_| {})?; // or, on a thread of its own: archiver.spawn(Duration::from_secs(5))
//! assert_eq!(archiver.archived(), 4);
//!
//! let restored = archive.restore(&elsewhere, Config::durable(), Until::Seq(2), &mut |_| {})?;
//! assert_eq!(restored.next_seq, 3);
//! # Ok(())
//! # }
//! ```
//!
//! What lies in the bucket, and what happens on each fault, is in `docs/archive.md` of the repository.
//!
//! | module | what it does |
//! | --- | --- |
//! | `store` | objects that are made once and read whole: tries, pauses, bandwidth |
//! | `chunk`, `manifest` | the bytes of objects |
//! | `dictionaries` | what entries may be compressed with |
//! | `contents` | the archive as one who reads it sees it |
//! | `writer` | the only one who changes it: terms, generations, fencing |
//! | `archiver`, `background`, `retain` | ships rounds of a log's entries, and removes what is too old |
//! | `restore`, `verify`, `reader` | the way back |

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod archive;
mod archiver;
mod background;
mod chunk;
mod contents;
mod dictionaries;
mod donor;
mod error;
mod history;
mod manifest;
mod options;
mod reader;
mod restore;
mod retain;
mod source;
mod store;
mod verify;
mod writer;

pub use archive::{Archive, Info};
pub use archiver::{Archiver, Shipped, Shipping};
pub use background::{Background, Status};
pub use donor::ArchiveDonor;
pub use error::{Error, ErrorKind, Result};
pub use object_store;
pub use options::{ArchiverOptions, Keep, StoreOptions};
pub use reader::ArchiveReader;
pub use restore::{Reading, Restored, Until};
pub use source::Source;
pub use verify::{Depth, Verified};
