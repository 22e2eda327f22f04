//! A dictionary away from its log.

use super::given;
use crate::error::Result;
use crate::record;
use crate::sync::Arc;

/// A dictionary, proved and away from its log: to read what [`Frames`](crate::Frames) hold. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Dictionary(Arc<record::Dictionary>);

impl Dictionary {
    /// What is in a dictionary's file, as [`Wal::dictionary`](crate::Wal::dictionary) gives it. All of it is proved.
    ///
    /// # Errors
    /// `Corrupt` for what is no dictionary, `Unsupported` for one of a newer version.
    pub fn from_bytes(file: impl AsRef<[u8]>) -> Result<Self> {
        Ok(Self(Arc::new(given(file.as_ref())?)))
    }

    /// Its id, which records name.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) const fn of(proved: Arc<record::Dictionary>) -> Self {
        Self(proved)
    }

    pub(crate) fn proved(&self) -> &record::Dictionary {
        &self.0
    }
}
