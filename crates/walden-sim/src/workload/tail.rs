//! What recovery cuts is put aside first (9), byte for byte.

use std::path::{Path, PathBuf};

use walden::Wal;

use super::DIR;
use super::violation::{Checked, Rule, broken, hold};
use crate::SimDisk;
use crate::num::index;

/// The copies of what opening cut hold what was there before; where anything but zeros was cut, there is one.
pub(super) fn check_kept(wal: &Wal, before: &SimDisk, now: &SimDisk) -> Checked {
    let Some(cut) = wal.recovery().cut else { return Ok(()) };
    for path in &cut.kept_in {
        let Some((file, at)) = copied(path) else {
            return broken(Rule::Damage, format!("a copy of an unknown name: {path:?}"));
        };
        let there = before.read_file(file).unwrap_or_default();
        let kept = now.read_file(path).ok();
        let same = kept.as_deref() == there.get(index(at)..);
        hold(Rule::Damage, same, || format!("{path:?} is not what was cut"))?;
    }
    let there = before.read_file(&cut.path).unwrap_or_default();
    let zeros = there.get(index(cut.offset)..).unwrap_or_default().iter().all(|byte| *byte == 0);
    let kept = cut.kept_in.iter().filter_map(|path| copied(path));
    let has_copy = kept.into_iter().any(|copy| copy == (cut.path.clone(), cut.offset));
    hold(Rule::Damage, !cut.done || zeros || has_copy, || format!("cut without a copy: {cut:?}"))
}

/// The file that a copy is of, and from where on: `segment-0003-at-80-gen-7.torn`.
fn copied(path: &Path) -> Option<(PathBuf, u64)> {
    let name = path.file_name()?.to_str()?;
    let (file, rest) = name.split_once("-at-")?;
    let (at, _) = rest.split_once("-gen-")?;
    Some((Path::new(DIR).join(file).with_extension("wal"), at.parse().ok()?))
}
