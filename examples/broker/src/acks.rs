//! Which messages are done with, in whatever order, and up to where all are.

use std::collections::BTreeSet;

/// All before `next` are done with, and those in `ahead`.
#[derive(Debug)]
pub(crate) struct Acks {
    next: u64,
    ahead: BTreeSet<u64>,
}

impl Acks {
    pub(crate) const fn from(next: u64) -> Self {
        Self { next, ahead: BTreeSet::new() }
    }

    /// One more is done with. The last one before which all are, where that is new.
    pub(crate) fn done(&mut self, seq: u64) -> Option<u64> {
        if seq >= self.next {
            self.ahead.insert(seq);
        }
        let before = self.next;
        while self.ahead.remove(&self.next) {
            self.next += 1;
        }
        (self.next > before).then(|| self.next - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_any_order() {
        let mut acks = Acks::from(5);
        let told: Vec<_> = [7, 6, 9, 5, 5, 3, 8, 10].map(|seq| acks.done(seq)).into();
        assert_eq!(told, [None, None, None, Some(7), None, None, Some(9), Some(10)]);
        assert!(acks.ahead.is_empty());
    }
}
