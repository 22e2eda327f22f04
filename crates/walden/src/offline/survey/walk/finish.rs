//! What the walk over all segments amounts to: names against the manifest, accepted losses, what stands behind each
//! damage.

use super::{ACTIVE_MISSING, Kind, Manifest, Piece, Spot, Walk};
use crate::error::Result;
use crate::recover::MAX_OPEN;

impl Walk<'_> {
    /// What can be told only when all was read.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn finish(&mut self, manifest: Option<&Manifest>) -> Result<()> {
        let first = self.out.first_seq.max(1);
        let mut next = self.expected.unwrap_or(first);
        let durable = manifest.map_or(0, |m| {
            let zone = self.out.zone.map_or(0, |zone| zone.next_seq);
            m.lowest_next.max(m.open_seq).max(zone)
        });
        if let Some(spot) = self.pending.and_then(|at| self.out.spots.get_mut(at)) {
            if durable > spot.expected {
                spot.last = Some(durable - 1);
                spot.kind = Kind::Damage;
            } else if self.out.zone.is_some() {
                spot.last = Some(spot.expected.saturating_sub(1));
            }
        } else if next < durable {
            let ordinal = self.out.pieces.last().map_or(0, |piece| piece.from.ordinal);
            let mut spot = self.gap(ordinal + 1, next, durable);
            let gone = manifest.filter(|m| !self.out.folder.segments.contains(&m.active));
            if let Some(active) = gone.map(|manifest| manifest.active) {
                (spot.path, spot.ordinal) = (self.target.names.wal(active), active);
                (spot.kind, spot.what) = (Kind::Damage, ACTIVE_MISSING.into());
            } else if let Some(piece) = self.out.pieces.last() {
                (spot.path, spot.offset) = (piece.from.path.clone(), piece.end);
                spot.ordinal = ordinal;
                spot.kind = Kind::Damage;
                spot.what = "entries that were durable are missing at the end of the log".into();
            }
            self.push(spot);
        }
        next = next.max(durable);
        self.out.next_seq = next;
        self.out.first_seq = first;
        self.check_ends()?;
        self.find_surplus();
        self.accept_losses();
        if let Some(manifest) = manifest {
            self.check_names(manifest);
            self.check_open(manifest);
            self.check_dead(manifest)?;
        }
        self.count_behind();
        Ok(())
    }

    fn check_names(&mut self, manifest: &Manifest) {
        let sealed = self.out.pieces.iter().filter(|piece| piece.sealed).count();
        let sealed = crate::num::size(sealed);
        if sealed != manifest.sealed_count && self.out.is_mendable() {
            let what = format!(
                "{sealed} complete segments are there, and the manifest counts {}; no entry is missing",
                manifest.sealed_count
            );
            let path = self.target.names.manifest();
            self.push(Spot::blank(Kind::Count, path, self.out.next_seq, what));
        }
        let active = manifest.active;
        if !self.out.folder.segments.contains(&active) && manifest.cut.is_none() {
            let path = self.target.names.wal(active);
            let what = ACTIVE_MISSING;
            let told =
                self.out.spots.iter().any(|spot| spot.ordinal == active && spot.path == path);
            if !told {
                let spot = Spot::blank(Kind::Damage, path, self.out.next_seq, what);
                self.push(Spot { ordinal: active, ..spot });
            }
        }
    }

    pub(super) fn open(&self, manifest: &Manifest) -> Vec<&Piece> {
        let pieces = self.out.pieces.iter();
        pieces.filter(|piece| piece.from.ordinal >= manifest.open_from).collect()
    }

    /// More open segments than a log leaves count as another program's, which completes each before it makes the next:
    /// opening refuses one that does not end with a record, but for the last.
    fn check_open(&mut self, manifest: &Manifest) {
        let open = self.open(manifest);
        let Some((last, complete)) = open.split_last().filter(|_| open.len() > MAX_OPEN) else {
            return;
        };
        let last = last.from.ordinal;
        let what = format!(
            "{} segments are open, and a log leaves {MAX_OPEN} at most: something else wrote those behind this one, \
             which is not complete",
            open.len()
        );
        let spacious = complete.iter().find(|piece| piece.free > 0).map(|piece| Spot {
            ordinal: piece.from.ordinal,
            offset: piece.end,
            len: piece.free,
            ..Spot::blank(Kind::Damage, piece.from.path.clone(), piece.next_seq, &*what)
        });
        let torn = |spot: &&mut Spot| matches!(spot.kind, Kind::Torn | Kind::InFlight);
        for spot in self.out.spots.iter_mut().filter(torn).filter(|spot| spot.ordinal != last) {
            spot.kind = Kind::Damage;
            spot.what = format!("{}; {what}", spot.what);
        }
        if let Some(spot) = spacious {
            self.push(spot);
        }
    }

    /// What was accepted before is no damage any more.
    fn accept_losses(&mut self) {
        let Some(manifest) = self.out.known.manifest() else { return };
        let losses = manifest.losses.clone();
        // Where the log's first entry is proved, in its oldest segment: nothing in front of that is lost.
        let begin = self.out.pieces.first().and_then(|piece| {
            let run = piece.runs.iter().find(|run| run.proved)?;
            (run.first_seq <= manifest.first_seq).then_some((piece.from.ordinal, run.from))
        });
        for spot in &mut self.out.spots {
            if spot.kind == Kind::Damage
                && begin.is_some_and(|(oldest, from)| spot.ordinal == oldest && spot.offset < from)
            {
                spot.kind = Kind::Note;
                spot.what = format!("before the first entry: {}", spot.what);
            }
            let Some((first, last)) = spot.lost() else { continue };
            if last < manifest.first_seq {
                spot.kind = Kind::Note;
                spot.what = format!("before the first entry: {}", spot.what);
            }
            if losses.iter().any(|(from, to)| *from <= first && last <= *to) {
                spot.kind = Kind::Note;
                spot.what = format!("given up: {}", spot.what);
            }
        }
    }

    fn count_behind(&mut self) {
        for spot in &mut self.out.spots {
            let mut in_file = spot.candidates;
            let mut in_log = 0;
            for piece in &self.out.pieces {
                for run in &piece.runs {
                    if piece.from.path == spot.path && run.from >= spot.offset {
                        in_file += run.records;
                    } else if piece.from.ordinal > spot.ordinal {
                        in_log += run.records;
                    }
                }
            }
            spot.behind_in_file = in_file;
            spot.behind_in_log = in_log + in_file;
        }
    }
}
