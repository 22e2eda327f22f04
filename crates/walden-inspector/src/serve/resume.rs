//! Where reading can go on behind what cannot be read.

use walden::{Error, LogReader, SegmentInfo};

use super::browse::{Page, Way};
use crate::watch::Watch;

/// The index names the place of every so manieth seq id of a segment: from there reading finds its way.
const INDEXED: u64 = 32;
/// How many such places, and how many segments, are tried.
const TRIES: usize = 64;
const SEGMENTS: usize = 16;

/// The nearest place found, the same way, from which entries can be read again.
pub(super) fn behind(watch: &Watch, log: &LogReader, way: Way, page: &Page) -> Option<u64> {
    let (error, at) = (page.problem.as_ref()?, page.next?);
    let seen = watch.seen();
    let segments = seen.segments.as_deref().unwrap_or_default();
    match way {
        Way::From(_) => forward(watch, log, segments, error, at),
        Way::Before(_) => backward(watch, log, segments, error, at),
    }
}

fn forward(
    watch: &Watch,
    log: &LogReader,
    segments: &[SegmentInfo],
    error: &Error,
    at: u64,
) -> Option<u64> {
    let told = [error.last_seq(), lost(watch, at).map(|(_, last)| last)];
    let told = told.into_iter().flatten().filter_map(|last| last.checked_add(1));
    let here = segment_of(segments, at).into_iter().flat_map(|(first, last)| {
        let next = first + (at - first) / INDEXED * INDEXED;
        let places = (1_u64..).map_while(move |n| next.checked_add(n.checked_mul(INDEXED)?));
        places.take_while(move |place| *place <= last).take(TRIES)
    });
    let borders = segments.iter().filter_map(|segment| segment.first_seq);
    let borders = borders.filter(|first| *first > at).take(SEGMENTS);
    let mut places = told.chain(here).chain(borders).filter(|place| *place > at);
    places.find(|place| {
        let reader = log.reader_at(*place);
        reader.is_ok_and(|mut reader| matches!(reader.read_next(), Ok(Some(_))))
    })
}

fn backward(
    watch: &Watch,
    log: &LogReader,
    segments: &[SegmentInfo],
    error: &Error,
    at: u64,
) -> Option<u64> {
    let bad = at.checked_sub(1)?;
    let told = [lost(watch, bad).map(|(first, _)| first), error.seq()].into_iter().flatten();
    let here = segment_of(segments, bad).into_iter().flat_map(|(first, _)| {
        let places = (0..=(bad - first) / INDEXED).rev().take(TRIES);
        places.map(move |n| first + n * INDEXED)
    });
    let borders = segments.iter().rev().filter_map(|segment| segment.first_seq);
    let borders = borders.filter(|first| *first < at).take(SEGMENTS);
    let mut places = told.chain(here).chain(borders).filter(|place| *place < at);
    places.find(|place| {
        let reader = log.reader_at(*place);
        reader.is_ok_and(|mut reader| matches!(reader.read_prev(), Ok(Some(_))))
    })
}

/// What the last check says is lost around `seq`.
fn lost(watch: &Watch, seq: u64) -> Option<(u64, u64)> {
    let last = watch.check().last?;
    let findings = &last.found.as_ref().ok()?.findings;
    let mut lost = findings.iter().filter_map(|finding| finding.lost);
    lost.find(|(first, last)| (*first..=*last).contains(&seq))
}

/// The bounds of the segment that should hold `seq`.
fn segment_of(segments: &[SegmentInfo], seq: u64) -> Option<(u64, u64)> {
    let mut bounds = segments.iter().filter_map(|one| one.first_seq.zip(one.last_seq));
    bounds.find(|(first, last)| (*first..=*last).contains(&seq))
}
