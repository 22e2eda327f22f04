//! What happens seldom, told to `tracing`: opening, rotation and sealing, retention, cuts, failures, closing. Nothing is
//! told of single appends.
//!
//! Without the feature these are empty. Who listens is foreign code: so nothing is told under the append lock, nor under
//! the write lock, but for the failure that ends the log.

use std::path::Path;

use crate::error::{Error, Result};
use crate::recover::Recovery;

/// Lasts until it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Span {
    #[cfg(feature = "tracing")]
    _entered: tracing::span::EnteredSpan,
}

macro_rules! spans {
    ($($name:ident($($arg:ident: $kind:ty),*): $span:expr;)*) => {$(
        #[cfg(feature = "tracing")]
        pub(crate) fn $name($($arg: $kind),*) -> Span {
            Span { _entered: $span.entered() }
        }

        #[cfg(not(feature = "tracing"))]
        #[inline]
        pub(crate) fn $name($(_: $kind),*) -> Span {
            Span {}
        }
    )*};
}

macro_rules! events {
    ($($name:ident($($arg:ident: $kind:ty),*) $tell:block)*) => {$(
        #[cfg(feature = "tracing")]
        pub(crate) fn $name($($arg: $kind),*) $tell

        #[cfg(not(feature = "tracing"))]
        #[inline]
        pub(crate) fn $name($(_: $kind),*) {}
    )*};
}

spans! {
    opening(dir: &Path): tracing::info_span!(target: "walden", "open", dir = %dir.display());
    recovering(dir: &Path): tracing::debug_span!(target: "walden", "recover", dir = %dir.display());
    sealing(dir: &Path, segment: u64):
        tracing::debug_span!(target: "walden", "seal", dir = %dir.display(), segment);
    retaining(dir: &Path): tracing::debug_span!(target: "walden", "retain", dir = %dir.display());
    closing(dir: &Path): tracing::info_span!(target: "walden", "close", dir = %dir.display());
}

events! {
    opened(found: &Recovery, first_seq: u64, next_seq: u64) {
        for note in &found.notes {
            tracing::info!(target: "walden", note, "opening adjusted something");
        }
        if found.finished_cut {
            tracing::info!(target: "walden", "a cut that a crash had broken off was finished");
        }
        if let Some(cut) = &found.cut {
            tracing::warn!(
                target: "walden",
                file = %cut.path.display(),
                offset = cut.offset,
                bytes = cut.bytes,
                reason = cut.reason,
                done = cut.done,
                possibly_acknowledged = ?cut.possibly_acknowledged,
                "the tail was torn"
            );
        }
        tracing::info!(
            target: "walden",
            origin = ?found.origin,
            bytes_checked = found.bytes_checked,
            took = ?found.took,
            first_seq,
            next_seq,
            "opened"
        );
    }

    not_opened(error: &Error) {
        tracing::error!(target: "walden", %error, "not opened");
    }

    rotated(segment: u64, next: u64) {
        tracing::debug!(target: "walden", segment, next, "appends went on to the next segment");
    }

    sealed(bytes: u64, next_seq: u64) {
        tracing::debug!(target: "walden", bytes, next_seq, "sealed");
    }

    retained(segments: u64, bytes: u64, first_seq: u64) {
        tracing::info!(target: "walden", segments, bytes, first_seq, "retention removed segments");
    }

    cut(dir: &Path, first_seq: u64, next_seq: u64) {
        tracing::info!(target: "walden", dir = %dir.display(), first_seq, next_seq, "cut");
    }

    poisoned(dir: &Path, cause: &Error) {
        tracing::error!(target: "walden", dir = %dir.display(), %cause, "poisoned");
    }

    upkeep_failed(dir: &Path, error: &Error) {
        tracing::warn!(target: "walden", dir = %dir.display(), %error, "upkeep failed, to be tried again");
    }

    damaged(dir: &Path, error: &Error) {
        tracing::error!(target: "walden", dir = %dir.display(), %error, "damage was met");
    }

    closed(result: &Result<()>) {
        match result {
            Ok(()) => tracing::info!(target: "walden", "closed"),
            Err(error) => tracing::warn!(target: "walden", %error, "not closed cleanly"),
        }
    }
}
