//! What is known of a log, in words.

use std::time::{Duration, SystemTime};

use walden::ErrorKind;
use walden::offline::{ManifestInfo, Outline, Verification};
use walden_inspector::{Check, Sample};

use super::text::clean;
use crate::size;

/// Columns of an error.
pub(super) const ERROR: usize = 600;

pub(super) fn error(error: &walden::Error) -> String {
    clean(error.to_string().as_bytes(), ERROR)
}

pub(super) fn found(check: &Check) -> Option<&Verification> {
    check.last.as_ref()?.found.as_deref().ok()
}

/// What came between a look and the next, a second.
pub(super) fn per_second(samples: &[Sample], of: impl Fn(&Sample) -> u64) -> Vec<u64> {
    let pairs = samples.iter().zip(samples.iter().skip(1));
    let rate = |(before, now): (&Sample, &Sample)| {
        let millis = now.at_ms.saturating_sub(before.at_ms).max(1);
        // After a cut the seq ids begin again lower down.
        of(now).saturating_sub(of(before)).saturating_mul(1000) / millis
    };
    pairs.map(rate).collect()
}

pub(super) fn ago(time: Option<SystemTime>) -> String {
    let Some(time) = time else { return String::new() };
    let since = match time.elapsed() {
        Ok(since) => since,
        // Clocks that stand a little apart are no news.
        Err(ahead) if ahead.duration() < Duration::from_secs(2) => Duration::ZERO,
        Err(_) => return "in the future".to_owned(),
    };
    match since.as_secs() {
        0 => "now".to_owned(),
        seconds if seconds < 120 => format!("{seconds} s ago"),
        seconds if seconds < 120 * 60 => format!("{} min ago", seconds / 60),
        seconds if seconds < 48 * 3600 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} days ago", size::count(seconds / 86_400)),
    }
}

pub(super) fn writer(outline: &Outline) -> String {
    let lock = &outline.lock;
    let since = lock
        .since
        .map(|since| format!(", which opened it {}", ago(Some(since))))
        .unwrap_or_default();
    let writer = match (lock.pid, lock.lives) {
        (None, _) => "none".to_owned(),
        (Some(pid), Some(false)) => format!("none; the last was process {pid}"),
        (Some(pid), _) => format!("process {pid}{since}"),
    };
    match outline.free_space {
        Ok(Some(free)) => format!("{writer}; {} free on the disk", size::bytes(free)),
        _ => writer,
    }
}

pub(super) fn history(manifest: &ManifestInfo) -> String {
    let epoch = manifest.epochs.last().map_or_else(String::new, |epoch| {
        let id = format!("{:032x}", epoch.id);
        format!(
            "epoch {} from {}, of {}; ",
            id.get(..8).unwrap_or_default(),
            size::count(epoch.first_seq),
            manifest.epochs.len()
        )
    });
    format!("{epoch}generation {}", size::count(manifest.generation))
}

/// What recovery, repairs and cuts left; and whether somebody should look at it.
pub(super) fn left_behind(outline: &Outline) -> (String, bool) {
    let mut parts = Vec::new();
    let mut is_bad = false;
    if let Ok(Some(manifest)) = &outline.manifest {
        if let Some(from) = manifest.cut_from {
            parts.push(format!("a cut from seq id {} on is not finished", size::count(from)));
        }
        let lost = manifest
            .losses
            .iter()
            .map(|(first, last)| last.saturating_sub(*first).saturating_add(1));
        let lost = lost.fold(0_u64, u64::saturating_add);
        if lost > 0 {
            parts.push(format!("{} seq ids given up", size::count(lost)));
            is_bad = true;
        }
    }
    match &outline.quarantine {
        Err(why) => {
            parts.push(format!("quarantine: {}", clean(why.as_bytes(), ERROR)));
            is_bad = true;
        }
        Ok(files) if files.is_empty() => parts.push("nothing in quarantine".to_owned()),
        Ok(files) => {
            let bytes = files.iter().fold(0_u64, |sum, (_, len)| sum.saturating_add(*len));
            let unit = if files.len() == 1 { "file" } else { "files" };
            parts.push(format!("{} {unit} in quarantine, {}", files.len(), size::bytes(bytes)));
            is_bad = true;
        }
    }
    (parts.join("; "), is_bad)
}

pub(super) fn problem(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Expired => "expired",
        ErrorKind::Removed => "its place was removed",
        ErrorKind::Truncated => "its place was cut off",
        _ => "cannot be read",
    }
}
