//! One slot of the cursors' file: where a cursor stands, in a sector, so that it is written whole.
//!
//! A cursor has two slots, each in a block of its own. A commit goes into the one that is older, so that the other
//! is whole on disk whatever becomes of this one; making and removing a cursor write both, one after the other.

use crate::num;

/// One sector.
pub(crate) const SLOT_LEN: usize = 512;
/// Two slots, each at the beginning of a block of 4 KiB.
pub(crate) const PAIR_LEN: u64 = 2 * BLOCK;
pub(crate) const BLOCK: u64 = 4096;
/// The most cursors that a log has.
pub(crate) const MAX_CURSORS: usize = 1024;
/// The longest name of one, in bytes.
pub(crate) const MAX_NAME: usize = 64;
pub(crate) const MAGIC: [u8; 8] = *b"WALDCURS";
pub(crate) const VERSION: u32 = 1;
const COVERED: usize = 4 + 16 + 8 + 4 + 16 + 8 + 4 + MAX_NAME;
const IN_USE: u32 = 1;
const EXPIRED: u32 = 2;
/// Stands for the epoch of a position before which there was no entry.
pub(crate) const NOTHING_BEFORE: u128 = 0;

const _: () = assert!(12 + COVERED <= SLOT_LEN);

/// Whose the slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody's: the cursor was removed.
    Free,
    InUse,
    /// Retention went past it.
    Expired,
}

/// What a slot says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) log_id: u128,
    /// The higher one of a pair is the later one.
    pub(crate) counter: u64,
    pub(crate) state: State,
    /// The epoch of the entry before the position.
    pub(crate) epoch: u128,
    /// The seq id that comes next.
    pub(crate) position: u64,
    pub(crate) name: String,
}

/// What the bytes of a slot are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// Zeros: never written.
    Blank,
    Sound(Slot),
    /// Ours, by magic and checksum, of a version that this one does not know.
    Newer(u32),
    Unsound,
}

/// What two slots together are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pair {
    /// To be had for a cursor; where it was one's, the slot that says so, and which it is.
    Free(Option<(Slot, usize)>),
    /// A cursor, and which slot says so.
    Cursor { slot: Slot, at: usize },
    /// There is one, and nothing can be known of it; why.
    Unreadable(String),
}

impl Slot {
    pub(crate) fn encode(&self) -> [u8; SLOT_LEN] {
        let flags = match self.state {
            State::Free => 0,
            State::InUse => IN_USE,
            State::Expired => IN_USE | EXPIRED,
        };
        let mut covered = Vec::with_capacity(COVERED);
        covered.extend_from_slice(&VERSION.to_le_bytes());
        covered.extend_from_slice(&self.log_id.to_le_bytes());
        covered.extend_from_slice(&self.counter.to_le_bytes());
        covered.extend_from_slice(&flags.to_le_bytes());
        covered.extend_from_slice(&self.epoch.to_le_bytes());
        covered.extend_from_slice(&self.position.to_le_bytes());
        let len = u32::try_from(self.name.len()).unwrap_or(u32::MAX);
        covered.extend_from_slice(&len.to_le_bytes());
        covered.extend_from_slice(self.name.as_bytes());
        covered.resize(COVERED, 0);
        let crc = crc32c::crc32c(&covered).to_le_bytes();
        let mut out = [0; SLOT_LEN];
        for (to, from) in out.iter_mut().zip(MAGIC.into_iter().chain(crc).chain(covered)) {
            *to = from;
        }
        out
    }

    fn parse(bytes: &[u8]) -> Option<Bytes> {
        let (crc, rest) = bytes.strip_prefix(&MAGIC)?.split_first_chunk::<4>()?;
        let covered = rest.get(..COVERED)?;
        if crc32c::crc32c(covered) != u32::from_le_bytes(*crc) {
            return None;
        }
        let u32_at =
            |at: usize| Some(u32::from_le_bytes(covered.get(at..at + 4)?.try_into().ok()?));
        let u64_at =
            |at: usize| Some(u64::from_le_bytes(covered.get(at..at + 8)?.try_into().ok()?));
        let u128_at =
            |at: usize| Some(u128::from_le_bytes(covered.get(at..at + 16)?.try_into().ok()?));
        let version = u32_at(0)?;
        if version != VERSION {
            return Some(Bytes::Newer(version));
        }
        let state = match u32_at(28)? {
            0 => State::Free,
            IN_USE => State::InUse,
            flags if flags == IN_USE | EXPIRED => State::Expired,
            _ => return None,
        };
        let len = num::index(u64::from(u32_at(56)?));
        let name = covered.get(60..)?.get(..len)?;
        let slot = Self {
            log_id: u128_at(4)?,
            counter: u64_at(20)?,
            state,
            epoch: u128_at(32)?,
            position: u64_at(48)?,
            name: String::from_utf8(name.to_vec()).ok()?,
        };
        let sense =
            slot.state == State::Free || (name_problem(&slot.name).is_none() && slot.position > 0);
        // Room for the counters to come.
        (sense && slot.counter < u64::MAX / 4).then_some(Bytes::Sound(slot))
    }
}

impl Bytes {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        if bytes.iter().all(|byte| *byte == 0) {
            return Self::Blank;
        }
        Slot::parse(bytes).unwrap_or(Self::Unsound)
    }
}

impl Pair {
    /// What two slots of the log with this id amount to.
    ///
    /// A cursor is told of only once both its slots were written, one after the other. So a first slot that is torn,
    /// beside one that was never written, is that of a cursor nobody was told of.
    pub(crate) fn of(log_id: u128, slots: [Bytes; 2]) -> Self {
        let mut best: Option<(Slot, usize)> = None;
        for (at, bytes) in slots.iter().enumerate() {
            if let Bytes::Sound(slot) = bytes
                && slot.log_id == log_id
                && best.as_ref().is_none_or(|(best, _)| best.counter < slot.counter)
            {
                best = Some((slot.clone(), at));
            }
        }
        let newer = slots.iter().find_map(|bytes| match bytes {
            Bytes::Newer(version) => Some(*version),
            _ => None,
        });
        match (newer, best, slots) {
            (Some(version), ..) => Self::Unreadable(format!(
                "a cursor has version {version}, this is for {VERSION}: use a newer walden"
            )),
            (_, Some((slot, at)), _) if slot.state == State::Free => Self::Free(Some((slot, at))),
            (_, Some((slot, at)), _) => Self::Cursor { slot, at },
            (.., [Bytes::Blank | Bytes::Unsound, Bytes::Blank]) => Self::Free(None),
            (.., slots) if slots.iter().any(|bytes| matches!(bytes, Bytes::Sound(_))) => {
                Self::Unreadable("a cursor is another log's".into())
            }
            _ => Self::Unreadable("neither slot of a cursor is sound".into()),
        }
    }
}

/// What keeps a text from being a cursor's name.
pub(crate) fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("is empty");
    }
    if name.len() > MAX_NAME {
        return Some("is longer than 64 bytes");
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) {
        return Some("holds something else than letters a to z, digits, '_', '-' and '.'");
    }
    if name.starts_with(['-', '.']) {
        return Some("begins with '-' or '.'");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(counter: u64) -> Slot {
        Slot {
            log_id: 9 << 99,
            counter,
            state: State::InUse,
            epoch: 3 << 70,
            position: 77,
            name: "mailer-2.eu".into(),
        }
    }

    #[test]
    fn round_trip_and_every_bit() {
        for state in [State::Free, State::InUse, State::Expired] {
            let slot = Slot { state, ..slot(8) };
            let bytes = slot.encode();
            assert_eq!(Bytes::of(&bytes), Bytes::Sound(slot));
            for bit in 0..(12 + COVERED) * 8 {
                let mut flipped = bytes;
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Bytes::of(&flipped), Bytes::Unsound, "bit {bit}");
            }
        }
        assert_eq!(Bytes::of(&[0; SLOT_LEN]), Bytes::Blank);
        assert_eq!(Bytes::of(&[]), Bytes::Blank);
        assert_eq!(Bytes::of(&slot(8).encode()[..100]), Bytes::Unsound);
    }

    /// Bytes under a right checksum that we never write.
    #[test]
    fn sound_and_senseless() {
        let with = |at: usize, bytes: &[u8]| {
            let mut slot = slot(8).encode();
            slot[at..at + bytes.len()].copy_from_slice(bytes);
            let crc = crc32c::crc32c(&slot[12..12 + COVERED]);
            slot[8..12].copy_from_slice(&crc.to_le_bytes());
            Bytes::of(&slot)
        };
        assert_eq!(with(12, &[2]), Bytes::Newer(2));
        assert_eq!(with(40, &[7]), Bytes::Unsound, "flags");
        assert_eq!(with(60, &[0; 8]), Bytes::Unsound, "position 0");
        // Behind the last seq id that there can be.
        assert!(matches!(with(60, &[0xff; 8]), Bytes::Sound(_)));
        assert_eq!(with(32, &[0xff; 8]), Bytes::Unsound, "a counter without room");
        assert_eq!(with(68, &[0xff; 4]), Bytes::Unsound, "a name of 4 GiB");
        assert_eq!(with(68, &[0]), Bytes::Unsound, "no name");
        assert_eq!(with(72, &[0xff]), Bytes::Unsound, "no text");
        assert_eq!(with(72, b"../"), Bytes::Unsound, "no name of ours");
    }

    #[test]
    fn every_pair_of_slots() {
        let sound = |counter| Bytes::Sound(slot(counter));
        let removed = || Slot { state: State::Free, ..slot(4) };
        let free = || Bytes::Sound(removed());
        let foreign = || Bytes::Sound(Slot { log_id: 5, ..slot(9) });
        let of = |a, b| Pair::of(slot(0).log_id, [a, b]);
        let cursor = |counter, at| Pair::Cursor { slot: slot(counter), at };
        assert_eq!(of(sound(1), sound(2)), cursor(2, 1));
        assert_eq!(of(sound(3), sound(2)), cursor(3, 0));
        for other in [Bytes::Blank, Bytes::Unsound, foreign()] {
            assert_eq!(of(sound(3), other.clone()), cursor(3, 0));
            assert_eq!(of(other, sound(3)), cursor(3, 1));
        }
        assert_eq!(of(sound(3), free()), Pair::Free(Some((removed(), 1))));
        assert_eq!(of(sound(5), free()), cursor(5, 0), "made again");
        assert_eq!(of(Bytes::Blank, Bytes::Blank), Pair::Free(None));
        assert_eq!(of(Bytes::Unsound, Bytes::Blank), Pair::Free(None), "never told of");
        for (a, b) in [
            (Bytes::Unsound, Bytes::Unsound),
            (Bytes::Blank, Bytes::Unsound),
            (foreign(), Bytes::Blank),
            (foreign(), foreign()),
            (Bytes::Newer(2), sound(1)),
            (Bytes::Blank, Bytes::Newer(2)),
        ] {
            assert!(matches!(of(a.clone(), b.clone()), Pair::Unreadable(_)), "{a:?}, {b:?}");
        }
    }

    #[test]
    fn names() {
        for name in ["a", "mailer-2.eu", "_", "0", "A.b_c-D", &"x".repeat(64)] {
            assert_eq!(name_problem(name), None, "{name}");
        }
        for name in ["", "-a", ".", "..", "a/b", "a b", "ä", "a\0", "a\n", &"x".repeat(65)] {
            assert!(name_problem(name).is_some(), "{name}");
        }
    }
}
