//! The page: all that is shown of a log, as lines from top to bottom. The screen shows a part of it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::time::Duration;

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use walden::SegmentInfo;
use walden::offline::{CursorReport, Severity, Verification};
use walden_inspector::Check;

use super::text::{bars, clean, padded, right, wrap};
use super::view::View;
use super::words::{ERROR, ago, error, found, history, left_behind, per_second, problem, writer};
use crate::size;

/// Columns of what a fact is called.
const NAME: usize = 11;
/// From so many columns on a segment is shown with its file's name and its time.
const WIDE: usize = 76;
/// Columns of a cursor's name, and of a file's.
const LABEL: usize = 24;
/// Rows of the map, and of damages that are named.
const MAP_ROWS: usize = 2;
const DAMAGES: usize = 5;

/// How things are set off: by colours too, where there are any.
#[derive(Debug, Clone, Copy)]
pub(super) struct Palette {
    pub(super) colours: bool,
}

impl Palette {
    fn with(self, colour: Color, modifier: Modifier) -> Style {
        let style = Style::new().add_modifier(modifier);
        if self.colours { style.fg(colour) } else { style }
    }

    pub(super) fn title(self) -> Style {
        self.with(Color::Cyan, Modifier::BOLD)
    }

    pub(super) fn good(self) -> Style {
        self.with(Color::Cyan, Modifier::empty())
    }

    pub(super) fn open(self) -> Style {
        self.with(Color::Yellow, Modifier::empty())
    }

    pub(super) fn bad(self) -> Style {
        self.with(Color::Red, Modifier::BOLD)
    }
}

pub(super) const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
pub(super) const FAINT: Style = Style::new().add_modifier(Modifier::DIM);

/// Lines of the latest entries, with their heading, where other things follow.
const ENTRIES: usize = 11;

/// The page. The segments, of which there may be very many, come last, and are made into lines when they are seen.
#[derive(Debug)]
pub(super) struct Page<'a> {
    view: &'a View,
    check: &'a Check,
    palette: Palette,
    width: usize,
    lines: Vec<Line<'static>>,
    damaged: BTreeSet<&'a OsStr>,
}

impl<'a> Page<'a> {
    /// The page in `width` columns; with the latest entries if there is no other place for them.
    pub(super) fn new(
        view: &'a View,
        check: &'a Check,
        palette: Palette,
        width: usize,
        with_entries: bool,
    ) -> Self {
        let found = found(check).into_iter().flat_map(|found| &found.findings);
        let damages = found.filter(|finding| finding.severity == Severity::Damage);
        let damaged = damages.filter_map(|finding| finding.path.file_name()).collect();
        let mut page = Self { view, check, palette, width, lines: Vec::new(), damaged };
        page.state();
        // A log that was never read: what is told of it is why.
        if view.is_read() {
            page.extent();
            page.rates();
        }
        page.surroundings();
        page.cursors();
        page.map();
        if with_entries && view.is_read() {
            page.lines.extend(entries(view, palette, width, ENTRIES));
        }
        if !page.segments().is_empty() {
            page.lines.push(heading("Each segment, the newest first", width));
        }
        page
    }

    /// How many lines it has.
    pub(super) fn len(&self) -> usize {
        self.lines.len().saturating_add(self.segments().len())
    }

    pub(super) fn line(&self, at: usize) -> Line<'static> {
        if let Some(line) = self.lines.get(at) {
            return line.clone();
        }
        // The newest first.
        let behind = at.saturating_sub(self.lines.len()).saturating_add(1);
        let segments = self.segments();
        let segment = segments.len().checked_sub(behind).and_then(|at| segments.get(at));
        segment.map(|segment| self.segment(segment)).unwrap_or_default()
    }

    /// The segments, the oldest first; each has a line at the end of the page, in the other order.
    pub(super) fn segments(&self) -> &'a [SegmentInfo] {
        self.view.seen.segments.as_deref().unwrap_or_default()
    }

    /// A fact, in as many lines as it takes.
    fn fact(&mut self, name: &str, value: &str, style: Style) {
        for (at, line) in wrap(value, self.width.saturating_sub(NAME)).into_iter().enumerate() {
            let name = if at == 0 { padded(name, NAME) } else { " ".repeat(NAME) };
            self.lines
                .push(Line::from_iter([Span::styled(name, FAINT), Span::styled(line, style)]));
        }
    }

    fn state(&mut self) {
        let bad = self.palette.bad();
        if let Some(problem) = &self.view.seen.problem {
            self.fact("State", &format!("cannot be read: {}", error(problem)), bad);
            if self.view.is_read() {
                self.fact("", "what follows was seen before", Style::new());
            }
        }
        if let Some((done, total)) = self.check.running {
            let text = format!("being checked: {} of {}", size::bytes(done), size::bytes(total));
            self.fact("State", &text, STRONG);
        }
        match self.check.last.as_ref().map(|last| &last.found) {
            None if self.view.seen.problem.is_none() && self.check.running.is_none() => {
                self.fact("State", "can be read; not every byte was checked", Style::new());
            }
            None => {}
            Some(Err(why)) => {
                self.fact("Check", &format!("failed: {}", clean(why.as_bytes(), ERROR)), bad);
            }
            Some(Ok(found)) if found.is_damaged() => self.damages(found),
            Some(Ok(found)) => {
                let mut text = format!(
                    "no damage in {} records, {}",
                    size::count(found.records),
                    ago(self.check.last.as_ref().map(|last| last.at))
                );
                if !found.findings.is_empty() {
                    text.push_str(&format!("; {} notes: walden verify", found.findings.len()));
                }
                self.fact("Check", &text, self.palette.good());
            }
        }
    }

    fn damages(&mut self, found: &Verification) {
        let all = || found.findings.iter().filter(|f| f.severity == Severity::Damage);
        let count = all().count();
        let places = if count == 1 { "place" } else { "places" };
        let text =
            format!("DAMAGED in {count} {places}, {}", ago(self.check.last.as_ref().map(|l| l.at)));
        self.fact("Check", &text, self.palette.bad());
        for finding in all().take(DAMAGES) {
            self.fact("", &clean(finding.message().as_bytes(), ERROR), self.palette.bad());
        }
        if count > DAMAGES {
            self.fact(
                "",
                &format!("and {} more: walden verify", count - DAMAGES),
                self.palette.bad(),
            );
        }
    }

    fn extent(&mut self) {
        let seen = &self.view.seen;
        let last = seen.next_seq.saturating_sub(1);
        let entries = match seen.entries() {
            0 => format!("none; next {}", size::count(seen.next_seq)),
            many => format!(
                "{}; first {}, last {}, next {}",
                size::count(many),
                size::count(seen.first_seq),
                size::count(last),
                size::count(seen.next_seq)
            ),
        };
        let durable = match seen.in_doubt() {
            0 if seen.entries() == 0 => "nothing to be".to_owned(),
            0 => format!("all, to {}", size::count(last)),
            behind => {
                let waits = self.view.samples.last().map_or(Duration::ZERO, |last| last.waits);
                let text = format!(
                    "known to {}; {} behind",
                    size::count(seen.durable_seq),
                    size::count(behind)
                );
                if waits.is_zero() { text } else { format!("{text}, for {}", size::time(waits)) }
            }
        };
        self.fact("Entries", &entries, STRONG);
        self.fact("Durable", &durable, Style::new());
        match &seen.segments {
            Err(why) => self.fact("Segments", &error(why), self.palette.bad()),
            Ok(_) if self.is_unlisted() => self.fact("Segments", "being listed", Style::new()),
            Ok(all) => {
                let sealed = all.iter().filter(|segment| segment.sealed).count();
                let text = format!(
                    "{}, {sealed} sealed, {} open; {}",
                    size::count(u64::try_from(all.len()).unwrap_or(u64::MAX)),
                    all.len() - sealed,
                    size::bytes(seen.bytes())
                );
                self.fact("Segments", &text, Style::new());
            }
        }
    }

    fn is_unlisted(&self) -> bool {
        self.view.samples.is_empty() && self.view.seen.problem.is_none()
    }

    /// What comes in, now and before. Of bytes it is known what each look saw more of them.
    fn rates(&mut self) {
        let entries = per_second(&self.view.samples, |sample| sample.next_seq);
        let bytes = per_second(&self.view.samples, |sample| sample.appended_bytes);
        for (name, values, show) in [
            ("Entries/s", entries, size::count as fn(u64) -> String),
            ("Bytes/s", bytes, size::bytes),
        ] {
            let Some(now) = values.last() else {
                self.fact(name, "not known before the second look", FAINT);
                continue;
            };
            let now = padded(&show(*now), 12);
            let room = self.width.saturating_sub(NAME + now.len());
            self.lines.push(Line::from_iter([
                Span::styled(padded(name, NAME), FAINT),
                Span::styled(now, STRONG),
                Span::styled(bars(&values, room), self.palette.good()),
            ]));
        }
    }

    fn surroundings(&mut self) {
        let Some(outline) = self.view.seen.outline.clone() else { return };
        self.fact("Writer", &writer(&outline), Style::new());
        match &outline.manifest {
            Err(why) => {
                self.fact("Manifest", &clean(why.as_bytes(), ERROR), self.palette.bad());
            }
            Ok(None) => self.fact("Manifest", "none: a log of the Go library", Style::new()),
            Ok(Some(manifest)) => self.fact("Manifest", &history(manifest), Style::new()),
        }
        let (text, is_bad) = left_behind(&outline);
        self.fact("Recovery", &text, if is_bad { self.palette.bad() } else { Style::new() });
    }

    fn cursors(&mut self) {
        let Some(outline) = self.view.seen.outline.clone() else { return };
        let cursors = match &outline.cursors {
            Ok(cursors) => cursors,
            Err(why) => {
                return self.fact("Cursors", &clean(why.as_bytes(), ERROR), self.palette.bad());
            }
        };
        if cursors.is_empty() {
            return self.fact("Cursors", "none", Style::new());
        }
        self.lines.push(heading(
            &format!("Cursors: {}, the furthest behind first", cursors.len()),
            self.width,
        ));
        let seen = &self.view.seen;
        let lag = |c: &CursorReport| seen.next_seq.saturating_sub(c.position.max(seen.first_seq));
        // What is broken, then who is most behind.
        let mut order: Vec<&CursorReport> = cursors.iter().collect();
        order.sort_by_key(|cursor| (cursor.problem.is_none(), u64::MAX - lag(cursor)));
        let most = self.width.saturating_sub(27).clamp(8, LABEL);
        let name = |cursor: &CursorReport| clean(cursor.name.as_bytes(), most);
        let column = order.iter().map(|cursor| Span::raw(name(cursor)).width()).max().unwrap_or(0);
        for cursor in order {
            let (text, style) = match (&cursor.what, cursor.problem) {
                (Some(what), _) => (clean(what.as_bytes(), ERROR), self.palette.bad()),
                (None, Some(kind)) => (problem(kind).to_owned(), self.palette.bad()),
                (None, None) if lag(cursor) == 0 => ("at the end".to_owned(), Style::new()),
                (None, None) => (format!("{} behind", size::count(lag(cursor))), Style::new()),
            };
            let name = format!("  {}  ", padded(&name(cursor), column));
            let next = format!("next {}  ", size::count(cursor.position));
            let spans = [Span::styled(name, STRONG), Span::raw(next), Span::styled(text, style)];
            self.lines.push(Line::from_iter(spans));
        }
    }

    /// A cell for each segment, or for several: from the oldest to the newest.
    fn map(&mut self) {
        let segments = self.segments();
        if segments.is_empty() {
            return;
        }
        let room = self.width.saturating_sub(4).max(1);
        let each = segments.len().div_ceil(room.saturating_mul(MAP_ROWS)).max(1);
        let several = if each > 1 { format!(", {each} a cell") } else { String::new() };
        let title = format!("Segments: █ sealed ▒ open ! damaged{several}");
        self.lines.push(heading(&title, self.width));
        let cell = |group: &[SegmentInfo]| {
            if group.iter().any(|segment| self.is_damaged(segment)) {
                Span::styled("!", self.palette.bad())
            } else if group.iter().all(|segment| segment.sealed) {
                Span::styled("█", self.palette.good())
            } else {
                Span::styled("▒", self.palette.open())
            }
        };
        let cells: Vec<Span<'static>> = segments.chunks(each).map(cell).collect();
        for row in cells.chunks(room) {
            let indent = std::iter::once(Span::raw("  "));
            self.lines.push(indent.chain(row.iter().cloned()).collect());
        }
    }

    fn is_damaged(&self, segment: &SegmentInfo) -> bool {
        segment.path.file_name().is_some_and(|name| self.damaged.contains(name))
    }

    fn segment(&self, segment: &SegmentInfo) -> Line<'static> {
        let seqs = match (segment.first_seq, segment.last_seq) {
            (Some(first), Some(last)) => format!("{}..={}", size::count(first), size::count(last)),
            _ => "none".to_owned(),
        };
        let (state, style) = match (self.is_damaged(segment), segment.sealed) {
            (true, _) => ("damaged", self.palette.bad()),
            (false, true) => ("sealed", Style::new()),
            (false, false) => ("open", self.palette.open()),
        };
        // Numbers stand below each other: none is longer than those of the newest.
        let newest = self.segments().last();
        let ordinals = newest.map_or(4, |newest| newest.ordinal.to_string().len().max(4));
        let longest = size::count(self.view.seen.next_seq).len() * 2 + 3;
        let seqs = right(&seqs, longest.min(self.width / 2));
        let bytes = right(&size::bytes(segment.bytes), 10);
        let mut spans = vec![Span::raw("  ")];
        if self.width >= WIDE {
            let name = |segment: &SegmentInfo| {
                clean(segment.path.file_name().unwrap_or_default().as_encoded_bytes(), LABEL)
            };
            let room = newest.map_or(0, |newest| Span::raw(name(newest)).width());
            spans.push(Span::styled(padded(&name(segment), room), STRONG));
        } else {
            spans.push(Span::styled(right(&segment.ordinal.to_string(), ordinals), STRONG));
        }
        spans.push(Span::raw(format!(" {seqs} {bytes}  ")));
        spans.push(Span::styled(padded(state, 8), style));
        if self.width >= WIDE && segment.last_append.is_some() {
            spans.push(Span::styled(ago(segment.last_append), FAINT));
        }
        Line::from_iter(spans)
    }
}

/// The latest entries, the newest first, at most `most` lines with the heading.
pub(super) fn entries(
    view: &View,
    palette: Palette,
    width: usize,
    most: usize,
) -> Vec<Line<'static>> {
    let mut lines = vec![heading("Latest entries", width)];
    let newest = view.latest.entries.first();
    let seqs = newest.map_or(1, |newest| size::count(newest.seq).len());
    if let Some(broken) = &view.latest.broken {
        // Said first: the entries may take all the room.
        let oldest = view.latest.entries.last();
        let from =
            oldest.map_or_else(String::new, |last| format!("before {}: ", size::count(last.seq)));
        let text = wrap(&format!("{from}{}", error(broken)), width.saturating_sub(2));
        lines.extend(text.into_iter().map(|line| Line::styled(format!("  {line}"), palette.bad())));
    }
    for entry in &view.latest.entries {
        let seq = right(&size::count(entry.seq), seqs);
        let len = right(&size::bytes(u64::try_from(entry.len).unwrap_or(u64::MAX)), 10);
        let room = width.saturating_sub(seqs + 16);
        lines.push(Line::from_iter([
            Span::styled(format!("  {seq}"), STRONG),
            Span::styled(format!(" {len}  "), FAINT),
            Span::raw(clean(entry.text.as_bytes(), room)),
        ]));
    }
    if view.latest.entries.is_empty() && view.latest.broken.is_none() {
        lines.push(Line::styled("  none", FAINT));
    }
    lines.truncate(most);
    lines
}

fn heading(text: &str, width: usize) -> Line<'static> {
    let rule = "─".repeat(width.saturating_sub(Span::raw(text).width() + 1));
    let spans = [Span::styled(text.to_owned(), STRONG), Span::styled(format!(" {rule}"), FAINT)];
    Line::from_iter(spans)
}
