//! What kind of filesystem a folder lies on.

use std::fs;
use std::path::Path;

/// The type of the filesystem that `path` will lie on, where the system tells.
pub(super) fn kind(path: &Path) -> Option<String> {
    let exists = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let path = exists.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(place), Some(kind)) = (words.next(), words.next()) else { continue };
        let longer = best.is_none_or(|(length, _)| place.len() >= length);
        if longer && path.starts_with(place) {
            best = Some((place.len(), kind));
        }
    }
    best.map(|(_, kind)| kind.to_owned())
}

/// Whether it lies in memory, where a sync does nothing.
pub(super) fn is_memory(kind: &str) -> bool {
    matches!(kind, "tmpfs" | "ramfs")
}
