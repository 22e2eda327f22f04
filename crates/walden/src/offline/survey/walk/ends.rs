//! First and last records of segments, judged as opening does: of some it reads no more, and the last one backward, by
//! its footer.

use super::{Kind, Known, Manifest, Piece, Spot, Target, Walk};
use crate::error::{Error, Result};
use crate::offline::verify::problem;
use crate::recover::scan::{Candidate, borders};
use crate::segment::{ONE_RECORD, RecordSource, Step};
use crate::storage::Access;
use crate::sync::Arc;
use crate::trim::cut::check_dead;

impl Walk<'_> {
    /// Where nothing tells with which seq id another program's log begins, its first sound record does, whatever its
    /// footer is.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn begin_foreign(&mut self, piece: &Piece) -> Result<()> {
        let begun = self.expected.is_some() || self.out.first_seq > 0;
        if !self.foreign || begun {
            return Ok(());
        }
        let from = &piece.from;
        let mut source = RecordSource::new(Arc::clone(&from.file), ONE_RECORD);
        let step = source.record_at(0, from.len);
        if let Step::Record(record) = step.map_err(|error| Error::io("read", &from.path, error))? {
            self.out.first_seq = record.seq();
        }
        Ok(())
    }

    /// What opening would find wrong at an end, and reading from the front did not.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn check_ends(&mut self) -> Result<()> {
        let mut found = Vec::new();
        for piece in self.chained().into_iter().filter(|piece| !self.is_told(piece)) {
            found.extend(by_borders(piece)?);
        }
        found.extend(self.check_last()?);
        for spot in found {
            self.push(spot);
        }
        Ok(())
    }

    /// Complete segments of which opening looks at the first and the last record: those that another program wrote.
    fn chained(&self) -> Vec<&Piece> {
        let mut pieces = match &self.out.known {
            _ if !self.foreign => Vec::new(),
            Known::Found(found) => self.open(&found.manifest),
            _ => self.out.pieces.iter().collect(),
        };
        pieces.pop();
        pieces
    }

    /// Whether something is known to be wrong with it anyway.
    fn is_told(&self, piece: &Piece) -> bool {
        self.out.damages().any(|spot| spot.path == piece.from.path)
    }

    /// Of a log that ends where the mark says, opening reads the last record alone.
    fn check_last(&self) -> Result<Option<Spot>> {
        let (Some(zone), Some(piece)) = (self.out.zone, self.out.pieces.last()) else {
            return Ok(None);
        };
        let from = &piece.from;
        let ends_there = (from.ordinal, piece.end) == (zone.ordinal, zone.offset);
        if piece.end == 0 || !ends_there || self.is_told(piece) {
            return Ok(None);
        }
        let mut source = RecordSource::new(Arc::clone(&from.file), ONE_RECORD);
        let step = source.record_before(piece.end);
        let step = step.map_err(|error| Error::io("read", &from.path, error))?.1;
        if matches!(step, Step::Record(record) if record.next_seq() == zone.next_seq) {
            return Ok(None);
        }
        wrong_footer(piece)
    }

    /// What survives of a batch that a cut in progress goes through: in a file that has no segment's name yet.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn prepared(&self, manifest: Option<&Manifest>) -> Result<Option<Candidate>> {
        let Some(cut) = manifest.and_then(|manifest| manifest.cut) else { return Ok(None) };
        let Some(len) = cut.prepared else { return Ok(None) };
        let (ordinal, Target { storage, names, .. }) = (cut.dead_to, self.target);
        if self.out.folder.segments.contains(&ordinal) {
            return Ok(None);
        }
        let path = names.next(ordinal);
        let file = match storage.open(&path, Access::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| Error::io("open the prepared segment", &path, error))?,
        };
        let found = file.len().map_err(|error| Error::io("tell the length", &path, error))?;
        Ok(Some(Candidate { ordinal, path, file, len: found.min(len) }))
    }

    /// A file that a cut in progress removes, and that begins before it: finishing the cut refuses it.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn check_dead(&mut self, manifest: &Manifest) -> Result<()> {
        let Some(cut) = manifest.cut else { return Ok(()) };
        let dead = |ordinal: &&u64| (cut.dead_from..cut.dead_to).contains(*ordinal);
        let dead: Vec<u64> = self.out.folder.segments.iter().filter(dead).copied().collect();
        for ordinal in dead {
            let Target { storage, names, .. } = self.target;
            match check_dead(&**storage, names, ordinal, &cut) {
                Err(error) if error.is_corruption() => {
                    let what = problem(&error);
                    let spot = Spot::blank(Kind::Dead, names.wal(ordinal), cut.first_cut, what);
                    self.push(Spot { ordinal, ..spot });
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// Bytes behind the last record of a complete segment are no entry's where the next one goes on without a gap:
    /// repair keeps a copy and cuts them off. A cut in progress comes first.
    pub(super) fn find_surplus(&mut self) {
        let foreign = matches!(self.out.known, Known::Missing(None));
        let manifest = self.out.known.manifest();
        if manifest.is_some_and(|manifest| manifest.cut.is_some()) {
            return;
        }
        // With which seq id the segments go on that are not complete.
        let open_seq = manifest.map(|manifest| manifest.open_seq);
        for spot in &mut self.out.spots {
            let own = |piece: &&Piece| piece.sealed && piece.from.path == spot.path;
            let Some(piece) = self.out.pieces.iter().find(own) else { continue };
            let behind = piece.runs.last().map_or(0, |run| run.to) <= spot.offset;
            let at_end = behind && spot.offset.saturating_add(spot.len) == piece.from.len;
            let zeros = spot.kind == Kind::Note && piece.free > 0;
            if !at_end || spot.newer || !(zeros || spot.kind == Kind::Damage) {
                continue;
            }
            if spot.followed || (zeros && open_seq == Some(piece.next_seq)) {
                spot.kind = Kind::Surplus;
            } else if zeros && foreign {
                spot.kind = Kind::Damage;
                spot.what = "zeros at the end of a complete segment: nothing tells whether entries were there".into();
            }
        }
    }
}

/// What opening finds at the ends of a complete segment.
fn by_borders(piece: &Piece) -> Result<Option<Spot>> {
    let error = match borders(&piece.from) {
        Ok(Some((_, next))) if next == piece.next_seq => return Ok(None),
        Ok(None) => return Ok(None),
        Ok(Some(_)) => None,
        Err(error) if error.is_corruption() => Some(error),
        Err(error) => return Err(error),
    };
    if piece.free > 0 {
        // Told where the zeros are.
        return Ok(None);
    }
    let other = || {
        let what = match error {
            Some(error) => problem(&error),
            None => "the last record's footer leads to another record".into(),
        };
        let spot = Spot::blank(Kind::Damage, piece.from.path.clone(), piece.next_seq, what);
        Spot { ordinal: piece.from.ordinal, offset: piece.end, ..spot }
    };
    Ok(Some(wrong_footer(piece)?.unwrap_or_else(other)))
}

/// The last record, if its footer is wrong.
fn wrong_footer(piece: &Piece) -> Result<Option<Spot>> {
    let from = &piece.from;
    let Some((offset, seq)) = piece.wrong_footers.last().copied() else { return Ok(None) };
    let mut source = RecordSource::new(Arc::clone(&from.file), ONE_RECORD);
    let step = source.record_at(offset, piece.end);
    match step.map_err(|error| Error::io("read", &from.path, error))? {
        Step::Record(record) if offset + record.len() == piece.end => {}
        _ => return Ok(None),
    }
    let what = "the last record has a wrong footer over a sound checksum: the entry is proved, and opening asks for \
                both";
    let spot = Spot::blank(Kind::Footer, from.path.clone(), seq, what);
    Ok(Some(Spot { ordinal: from.ordinal, offset, len: piece.end - offset, ..spot }))
}
