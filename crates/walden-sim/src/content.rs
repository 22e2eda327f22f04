//! One file's bytes: what reads see, and for each unsynced sector all it may still be on the disk.
//!
//! Beyond the cached length everything is zeros. A page that is absent is a hole; one that is present
//! without bytes is allocated and zero. Pages are shared between copies until written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use crate::Rng;
use crate::crash::{Chooser, SectorTear};
use crate::num::{index, size};

/// What a disk writes whole or, with [`SectorTear::Whole`], not at all.
pub(crate) const SECTOR: usize = 512;
/// What is allocated and counted against the capacity.
pub(crate) const PAGE: usize = 4096;

type Sector = [u8; SECTOR];
type Page = Option<Arc<[u8; PAGE]>>;

/// A sector written since the last sync that succeeded.
#[derive(Debug, Clone)]
struct Dirty {
    /// What it held, the durable version first; never empty, no two alike.
    old: Vec<Sector>,
    /// A sync failed since it was last written: clean for the kernel, so later syncs pass it over.
    stuck: bool,
}

/// A file without its name.
#[derive(Debug, Clone)]
pub(crate) struct Inode {
    pages: BTreeMap<u64, Page>,
    dirty: BTreeMap<u64, Dirty>,
    len: u64,
    /// The lengths since the last sync, the durable one first.
    old_lens: Vec<u64>,
    pub(crate) modified: SystemTime,
}

/// A part of a range of bytes that lies in one unit (sector or page).
struct Piece {
    unit: u64,
    /// Where it begins in the unit.
    at: usize,
    /// Where it begins in the range.
    from: usize,
    len: usize,
}

fn pieces(offset: u64, len: usize, unit: usize) -> impl Iterator<Item = Piece> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = index((offset + size(from)) % size(unit));
        let piece = Piece {
            unit: (offset + size(from)) / size(unit),
            at,
            from,
            len: (unit - at).min(len - from),
        };
        from += piece.len;
        (piece.len > 0).then_some(piece)
    })
}

impl Inode {
    pub(crate) const fn new(modified: SystemTime) -> Self {
        Self {
            pages: BTreeMap::new(),
            dirty: BTreeMap::new(),
            len: 0,
            old_lens: Vec::new(),
            modified,
        }
    }

    /// A file that holds `bytes`, all durable.
    pub(crate) fn durable(bytes: &[u8], modified: SystemTime) -> Self {
        let mut inode = Self::new(modified);
        inode.write(bytes, 0);
        inode.settle();
        inode
    }

    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of allocated space.
    pub(crate) fn allocated(&self) -> u64 {
        size(self.pages.len()) * size(PAGE)
    }

    /// Bytes that would have to be allocated to write `offset..offset + len`.
    pub(crate) fn missing(&self, offset: u64, len: u64) -> u64 {
        if len == 0 {
            return 0;
        }
        let (first, last) = (offset / size(PAGE), (offset + len - 1) / size(PAGE));
        (last - first + 1 - size(self.pages.range(first..=last).count())) * size(PAGE)
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.dirty.is_empty() && self.old_lens.is_empty()
    }

    pub(crate) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let n = buf.len().min(index(self.len.saturating_sub(offset)));
        for piece in pieces(offset, n, PAGE) {
            let Some(to) = buf.get_mut(piece.from..piece.from + piece.len) else {
                break;
            };
            let page = self.pages.get(&piece.unit).and_then(Option::as_deref);
            match page.and_then(|page| page.get(piece.at..piece.at + piece.len)) {
                Some(from) => to.copy_from_slice(from),
                None => to.fill(0),
            }
        }
        n
    }

    /// What of the next page that was written to lies at or behind `offset`.
    pub(crate) fn next_data(&self, offset: u64) -> Option<Range<u64>> {
        let mut pages = self.pages.range(offset / size(PAGE)..);
        let (page, _) = pages.find(|(_, bytes)| bytes.is_some())?;
        let (begin, end) = (page * size(PAGE), (page + 1) * size(PAGE));
        Some(offset.max(begin)..end.min(self.len)).filter(|data| !data.is_empty())
    }

    pub(crate) fn write(&mut self, bytes: &[u8], offset: u64) {
        for piece in pieces(offset, bytes.len(), SECTOR) {
            let mut sector = self.sector(piece.unit);
            let to = sector.get_mut(piece.at..piece.at + piece.len);
            if let (Some(to), Some(from)) = (to, bytes.get(piece.from..piece.from + piece.len)) {
                to.copy_from_slice(from);
            }
            self.write_sector(piece.unit, &sector);
        }
        if !bytes.is_empty() {
            self.move_end(self.len.max(offset + size(bytes.len())));
        }
    }

    pub(crate) fn allocate(&mut self, offset: u64, len: u64) {
        for page in offset / size(PAGE)..(offset + len).div_ceil(size(PAGE)) {
            self.pages.entry(page).or_default();
        }
        self.move_end(self.len.max(offset + len));
    }

    /// Cuts or grows. What is cut off becomes zeros at once, as far as reads of a file grown again go;
    /// on the disk it is unsynced like any other write.
    pub(crate) fn set_len(&mut self, len: u64) {
        let cut: Vec<u64> = self.pages.range(len / size(PAGE)..).map(|(&page, _)| page).collect();
        for page in cut {
            let first = page * size(PAGE / SECTOR);
            for unit in first.max(len / size(SECTOR))..first + size(PAGE / SECTOR) {
                let kept = masked(&self.sector(unit), unit, len);
                if self.sector(unit) != kept {
                    self.write_sector(unit, &kept);
                }
            }
            if page * size(PAGE) >= len {
                self.pages.remove(&page);
            }
        }
        self.move_end(len);
    }

    /// A sync that succeeds.
    pub(crate) fn sync(&mut self) {
        self.old_lens.clear();
        let len = self.len;
        // Behind a durable end nothing is left to come back.
        self.dirty.retain(|unit, dirty| dirty.stuck && unit * size(SECTOR) < len);
    }

    /// A sync that fails: nothing is known of the dirty sectors, and the kernel holds them for clean.
    pub(crate) fn fail_sync(&mut self) {
        for dirty in self.dirty.values_mut() {
            dirty.stuck = true;
        }
    }

    /// Makes all durable, whatever failed before.
    pub(crate) fn settle(&mut self) {
        self.old_lens.clear();
        self.dirty.clear();
    }

    /// Turns one bit over, in the cache and in everything that may be on the disk. False behind the end.
    pub(crate) fn flip(&mut self, bit: u64) -> bool {
        let (byte, mask) = (bit / 8, 1 << (bit % 8));
        if byte >= self.len {
            return false;
        }
        let (unit, at) = (byte / size(SECTOR), index(byte % size(SECTOR)));
        let turn = |sector: &mut Sector| {
            if let Some(byte) = sector.get_mut(at) {
                *byte ^= mask;
            }
        };
        let mut sector = self.sector(unit);
        turn(&mut sector);
        self.put(unit, &sector);
        if let Some(dirty) = self.dirty.get_mut(&unit) {
            dirty.old.iter_mut().for_each(turn);
        }
        true
    }

    /// The kernel forgets what it holds for clean: sectors whose sync failed read as what the disk has.
    pub(crate) fn evict(&mut self, chooser: &mut dyn Chooser) {
        let stuck: Vec<u64> =
            self.dirty.iter().filter(|(_, dirty)| dirty.stuck).map(|(&unit, _)| unit).collect();
        for unit in stuck {
            let versions = self.versions(unit, self.len, SectorTear::Whole);
            if let Some(version) = pick(&versions, chooser) {
                self.put(unit, version);
            }
            self.dirty.remove(&unit);
        }
    }

    /// The file as the disk has it after a power cut.
    pub(crate) fn crash(&self, chooser: &mut dyn Chooser, tear: SectorTear) -> Self {
        let lens = distinct(self.old_lens.iter().chain([&self.len]).copied());
        let len = pick(&lens, chooser).copied().unwrap_or(self.len);
        let mut image = Self {
            pages: self.pages.clone(),
            dirty: BTreeMap::new(),
            len,
            old_lens: Vec::new(),
            modified: self.modified,
        };
        for &unit in self.dirty.keys().take_while(|&&unit| unit * size(SECTOR) < len) {
            if let Some(version) = pick(&self.versions(unit, len, tear), chooser) {
                image.put(unit, version);
            }
        }
        image.set_len(len);
        image.settle();
        image
    }

    /// All that a dirty sector may be on the disk of a file of `len` bytes, the durable version first.
    fn versions(&self, unit: u64, len: u64, tear: SectorTear) -> Vec<Sector> {
        let old = self.dirty.get(&unit).map_or(&[][..], |dirty| &dirty.old);
        let cached = self.sector(unit);
        let torn = tear.versions(unit, old, &cached);
        let all = old.iter().chain(&torn).chain([&cached]);
        distinct(all.map(|version| masked(version, unit, len)))
    }

    fn move_end(&mut self, len: u64) {
        if len != self.len {
            if !self.old_lens.contains(&self.len) {
                self.old_lens.push(self.len);
            }
            self.len = len;
        }
    }

    fn sector(&self, unit: u64) -> Sector {
        let mut sector = [0; SECTOR];
        let at = index(unit % size(PAGE / SECTOR)) * SECTOR;
        let page = self.pages.get(&(unit / size(PAGE / SECTOR))).and_then(Option::as_deref);
        if let Some(from) = page.and_then(|page| page.get(at..at + SECTOR)) {
            sector.copy_from_slice(from);
        }
        sector
    }

    /// Writes a sector and remembers what it was.
    fn write_sector(&mut self, unit: u64, sector: &Sector) {
        let was = self.sector(unit);
        match self.dirty.get_mut(&unit) {
            Some(dirty) => {
                // Written again, if only with the same bytes: the next sync takes it along.
                dirty.stuck = false;
                if *sector != was && !dirty.old.contains(&was) {
                    dirty.old.push(was);
                }
            }
            None if *sector != was => {
                self.dirty.insert(unit, Dirty { old: vec![was], stuck: false });
            }
            None => {}
        }
        self.put(unit, sector);
    }

    /// Sets a sector's bytes and nothing else.
    fn put(&mut self, unit: u64, sector: &Sector) {
        let page = self.pages.entry(unit / size(PAGE / SECTOR)).or_default();
        if page.is_none() && *sector == [0; SECTOR] {
            return;
        }
        let at = index(unit % size(PAGE / SECTOR)) * SECTOR;
        let page = Arc::make_mut(page.get_or_insert_with(|| Arc::new([0; PAGE])));
        if let Some(to) = page.get_mut(at..at + SECTOR) {
            to.copy_from_slice(sector);
        }
    }
}

/// A sector of a file of `len` bytes: zeros behind the end.
fn masked(sector: &Sector, unit: u64, len: u64) -> Sector {
    let mut sector = *sector;
    let kept = index(len.saturating_sub(unit * size(SECTOR))).min(SECTOR);
    if let Some(tail) = sector.get_mut(kept..) {
        tail.fill(0);
    }
    sector
}

fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut kept = Vec::new();
    for one in all {
        if !kept.contains(&one) {
            kept.push(one);
        }
    }
    kept
}

/// Asks only where there is a choice.
fn pick<'a, T>(options: &'a [T], chooser: &mut dyn Chooser) -> Option<&'a T> {
    let chosen = if options.len() > 1 { chooser.choose(options.len()) } else { 0 };
    options.get(chosen.min(options.len().saturating_sub(1)))
}

impl SectorTear {
    /// What a sector may hold beside the versions written, if power went in the middle of a write.
    fn versions(self, unit: u64, old: &[Sector], cached: &Sector) -> Vec<Sector> {
        let Some(durable) = old.first() else {
            return Vec::new();
        };
        let differs = |&at: &usize| old.iter().any(|version| version.get(at) != cached.get(at));
        let mut noise = [0; SECTOR];
        Rng::new(unit).fill(&mut noise);
        match self {
            Self::Whole => Vec::new(),
            Self::Changed => {
                let changed: Vec<usize> = (0..SECTOR).filter(differs).collect();
                let (mut mixed, mut garbage) = (*durable, *cached);
                for (i, &at) in changed.iter().enumerate() {
                    if i < changed.len() / 2 {
                        copy_byte(&mut mixed, cached, at);
                    }
                    copy_byte(&mut garbage, &noise, at);
                }
                vec![mixed, garbage]
            }
            Self::Any => vec![[0; SECTOR], noise],
        }
    }
}

fn copy_byte(to: &mut Sector, from: &Sector, at: usize) {
    if let (Some(to), Some(from)) = (to.get_mut(at), from.get(at)) {
        *to = *from;
    }
}
