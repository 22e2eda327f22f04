//! What is replicated.

use std::fmt;
use std::io::Cursor;

use openraft::{BasicNode, Entry, TokioRuntime};
use serde::{Deserialize, Serialize};

openraft::declare_raft_types!(
    /// The types of this application.
    pub(crate) Types: D = Change, R = (), NodeId = u64, Node = BasicNode, Entry = Entry<Types>,
        SnapshotData = Cursor<Vec<u8>>, AsyncRuntime = TokioRuntime
);

/// A change of the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    Set { key: String, value: String },
    Remove { key: String },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set { key, .. } => write!(f, "set {key}"),
            Self::Remove { key } => write!(f, "remove {key}"),
        }
    }
}

pub(crate) type Raft = openraft::Raft<Types>;
