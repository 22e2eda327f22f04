//! One segment, written anew beside itself.

use super::{Arc, Codec, Dictionaries, Dictionary, Error, ForWriting, Recompress, Result, Target};
use crate::error::ErrorKind;
use crate::num;
use crate::offline::output::Sink;
use crate::record::{
    self, Compressed, Decoder, Encoder, Header, How, MOST_CONTENT, OVERHEAD, PACKED, Record,
    content_len, dictionary_of,
};
use crate::recover::scan::Candidate;
use crate::segment::index::{self, Index};
use crate::segment::{READ_AHEAD, RecordSource, Step};
use crate::write::compress::MOST_BY_DICTIONARY;

/// What is shorter is stored as it is, as by default.
const THRESHOLD: usize = 64;

/// How often it is told how far the work is, in bytes.
const TELL: u64 = 1 << 20;

/// What a segment was made into; its file and its index wait under other names if anything changed.
#[derive(Debug, Default)]
pub(super) struct Segment {
    pub(super) ordinal: u64,
    pub(super) changed: bool,
    pub(super) records: u64,
    pub(super) compressed: u64,
    pub(super) len: u64,
}

/// Writes segments anew, one after the other.
pub(super) struct Rewriter<'a> {
    target: &'a Target,
    log_id: u128,
    recoder: Recoder,
    /// The segment that was worked on last.
    ordinal: Option<u64>,
}

impl<'a> Rewriter<'a> {
    /// # Errors
    /// `OutOfSpace` where there is no memory to make the dictionary ready.
    pub(super) fn new(
        target: &'a Target,
        log_id: u128,
        how: &Recompress,
        dictionary: Option<Arc<Dictionary>>,
    ) -> Result<Self> {
        let codec = how.compression.codec();
        let trained = match (dictionary, codec) {
            (Some(dictionary), Some((_, level))) => {
                let no_memory =
                    || Error::new(ErrorKind::TooLarge, "there is no memory for the dictionary");
                let ready = ForWriting::new(&dictionary, level).ok_or_else(no_memory)?;
                Some((dictionary, ready))
            }
            _ => None,
        };
        let recoder = Recoder {
            codec,
            trained,
            again: how.again,
            dictionaries: Dictionaries::new(Arc::clone(&target.storage), &target.names),
            encoder: Encoder::default(),
            decoder: Decoder::new(),
            plain: Vec::new(),
            proof: Vec::new(),
            out: Vec::new(),
        };
        Ok(Self { target, log_id, recoder, ordinal: None })
    }

    /// Step 1.
    ///
    /// # Errors
    /// `Corrupt`, `Unsupported`, `MissingDictionary`, `OutOfSpace`, `Io`.
    pub(super) fn segment(
        &mut self,
        from: &Candidate,
        tell: &mut dyn FnMut(u64),
    ) -> Result<Segment> {
        let names = &self.target.names;
        self.ordinal = Some(from.ordinal);
        remove_if_there(self.target, &names.next(from.ordinal))?;
        remove_if_there(self.target, &names.index_new(from.ordinal))?;
        let next = names.next(from.ordinal);
        let mut sink = Sink::create(self.target, &next)?;
        let (mut made, built) = self.records(from, &mut sink, tell)?;
        if !made.changed {
            return Ok(made);
        }
        made.len = sink.finish()?;
        let index = self.timed(from, built);
        let path = names.index_new(from.ordinal);
        let mut sink = Sink::create(self.target, &path)?;
        sink.put(&index.encode(self.log_id, from.ordinal, made.len))?;
        sink.finish()?;
        Ok(made)
    }

    fn records(
        &mut self,
        from: &Candidate,
        sink: &mut Sink<'_>,
        tell: &mut dyn FnMut(u64),
    ) -> Result<(Segment, Index)> {
        let io = |error| Error::io("read", &from.path, error);
        let mut source = RecordSource::new(Arc::clone(&from.file), READ_AHEAD);
        let mut made = Segment { ordinal: from.ordinal, ..Segment::default() };
        let mut index = Index::default();
        let (mut at, mut told, mut expected) = (0, 0, None);
        while at < from.len {
            let place = |error: Error| error.path(&from.path).offset_at(at);
            let damage = |what: String| {
                let advice = format!("run: {}", self.target.command("verify"));
                place(Error::corrupt(what)).seq_at(expected.unwrap_or(0)).advice(advice)
            };
            let record = match source.record_at(at, from.len).map_err(io)? {
                Step::Record(record) if expected.is_none_or(|seq| seq == record.seq()) => record,
                Step::Record(record) => {
                    return Err(damage(format!(
                        "a record has seq id {} out of order",
                        record.seq()
                    )));
                }
                Step::Bad(fault) => return Err(damage(fault.to_string())),
                Step::End | Step::Unwritten => {
                    return Err(damage("zeros stand where a record should be".into()));
                }
            };
            let (seq, next_seq, len) = (record.seq(), record.next_seq(), record.len());
            let (header, footer_ok) = (record.header, record.footer_ok);
            let recoded = self.recoder.recode(&record).map_err(|error| match error.file() {
                // About a dictionary.
                Some(_) => error.seq_at(seq),
                None => place(error).seq_at(seq),
            })?;
            index.add(made.len, seq, next_seq, 0);
            let size = if recoded {
                made.len += num::size(self.recoder.out.len());
                sink.put(&self.recoder.out)?;
                self.recoder.stored_size()
            } else {
                let bytes = source.window(at, len, from.len).map_err(io)?;
                let (bytes, _) = bytes.split_last_chunk::<8>().unwrap_or((bytes, &[0; 8]));
                sink.put(bytes)?;
                // One that decayed is set right.
                sink.put(&record::footer(header.size))?;
                made.len += len;
                header.size
            };
            made.changed |= recoded || !footer_ok;
            made.records += 1;
            made.compressed += u64::from(Header { size, ..header }.codec() != 0);
            (at, expected) = (at + len, Some(next_seq));
            if at - told >= TELL {
                told = at;
                tell(at);
            }
        }
        Ok((made, index))
    }

    /// The new index with the times of the old one. Without that, the times are the file's, as wherever an index is made
    /// anew.
    fn timed(&self, from: &Candidate, mut built: Index) -> Index {
        let path = self.target.names.index(from.ordinal);
        // Of any length: a run that was cut off leaves one that fits what the segment was to become.
        let old = index::of_any_length(&*self.target.storage, &path, self.log_id, from.ordinal);
        let fits = |old: &Index| {
            old.first_seq == built.first_seq && old.entries.len() >= built.entries.len()
        };
        if let Some(old) = old.filter(fits) {
            for (entry, old) in built.entries.iter_mut().zip(&old.entries) {
                entry.micros = old.micros;
            }
            built.last_micros = old.last_micros;
            built.times_from_file = old.times_from_file;
        } else {
            let time = from.file.modified().map_or(0, index::micros);
            built.entries.iter_mut().for_each(|entry| entry.micros = time);
            built.last_micros = time;
            built.times_from_file = true;
        }
        built
    }

    /// Removes what is left of the last segment's new files. Not being able to is no failure: the next opening does.
    pub(super) fn clean_up(&mut self) {
        if let Some(ordinal) = self.ordinal.take() {
            drop(self.target.storage.remove(&self.target.names.next(ordinal)));
            drop(self.target.storage.remove(&self.target.names.index_new(ordinal)));
        }
    }
}

fn remove_if_there(target: &Target, path: &std::path::Path) -> Result<()> {
    match target.storage.remove(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Stores one record after another otherwise.
struct Recoder {
    codec: Option<(Codec, i32)>,
    trained: Option<(Arc<Dictionary>, ForWriting)>,
    again: bool,
    dictionaries: Dictionaries,
    encoder: Encoder,
    decoder: Decoder,
    /// What a compressed record holds.
    plain: Vec<u8>,
    /// What comes out of what was compressed.
    proof: Vec<u8>,
    /// The record as it is to be stored.
    out: Vec<u8>,
}

impl Recoder {
    /// Puts the record as it is to be stored into `out`; false: it stays as it is.
    ///
    /// # Errors
    /// `Corrupt`, `Unsupported`, `MissingDictionary`, `Io`; with a path where it is about a dictionary.
    fn recode(&mut self, record: &Record<'_>) -> Result<bool> {
        let (header, stored) = (&record.header, record.stored);
        if self.codec.is_none() && header.codec() == 0 {
            return Ok(false);
        }
        let len = content_len(header, stored).map_err(|why| why.error())?;
        let wanted = self.trained.as_ref().filter(|_| len + OVERHEAD <= MOST_BY_DICTIONARY);
        let codec = self.codec.map_or(0, |(codec, _)| codec.number());
        let same_kind = header.codec() == codec
            && dictionary_of(header, stored) == wanted.map(|(dictionary, _)| dictionary.id());
        if same_kind && !self.again {
            return Ok(false);
        }
        let count = if header.is_packed() { Some(record.count) } else { None };
        let count = count.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        let plain = if header.codec() == 0 {
            stored.get(if count.is_some() { 4 } else { 0 }..).unwrap_or_default()
        } else {
            let dictionary = self.dictionaries.of(header, stored)?;
            let dictionary = dictionary.as_deref();
            let told =
                self.decoder.content(header, stored, dictionary, MOST_CONTENT, &mut self.plain);
            told.map_err(|why| why.error())?;
            &self.plain[..]
        };
        let how = self.codec.filter(|_| plain.len() >= THRESHOLD).map(|(codec, level)| How {
            codec,
            level,
            dictionary: wanted.map(|(_, ready)| ready),
        });
        self.out.clear();
        let smaller = how.and_then(|how| self.encoder.content(how, count, plain));
        match smaller {
            Some(smaller) if same_kind && smaller.stored.len() >= stored.len() => Ok(false),
            Some(smaller) => {
                let size = smaller.flags | num::size(smaller.stored.len());
                let made = Header { size, ..*header };
                let dictionary = wanted.map(|(dictionary, _)| &**dictionary);
                let told = self.decoder.content(
                    &made,
                    smaller.stored,
                    dictionary,
                    MOST_CONTENT,
                    &mut self.proof,
                );
                if told.is_err() || self.proof != plain {
                    let what =
                        "what was compressed does not come out as it was; nothing was changed";
                    return Err(Error::new(ErrorKind::Io, what));
                }
                record::encode_stored(&mut self.out, record.seq(), &smaller);
                Ok(true)
            }
            None if header.codec() == 0 => Ok(false),
            None => {
                let head = stored.get(..if count.is_some() { 4 } else { 0 }).unwrap_or_default();
                let whole = [head, plain].concat();
                let flags = if count.is_some() { PACKED } else { 0 };
                let plain = Compressed { flags, count: record.count, stored: &whole };
                record::encode_stored(&mut self.out, record.seq(), &plain);
                Ok(true)
            }
        }
    }

    /// The Size of the record in `out`.
    fn stored_size(&self) -> u64 {
        Header::parse(&self.out).map_or(0, |header| header.size)
    }
}
