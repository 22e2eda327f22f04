//! From a long history that fails to a short one that fails.

/// Leaves out as much of `steps` as can be left out while `fails` still says that the rest fails: first large
/// parts, then smaller ones, then single steps. What is left fails, and does not fail without any one of them.
///
/// Works well for steps that are plain data and mean the same whatever comes before them: places as shares of
/// what is there, say, rather than numbers.
///
/// ```
/// let steps = [1, 2, 3, 4, 5, 6, 7, 8];
/// let fails = |some: &[i32]| some.contains(&3) && some.contains(&7);
/// assert_eq!(walden_sim::shrink(&steps, fails), [3, 7]);
/// ```
pub fn shrink<T: Clone>(steps: &[T], mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut left = steps.to_vec();
    let mut part = left.len().div_ceil(2).max(1);
    loop {
        let before = left.len();
        let mut at = 0;
        while at < left.len() {
            let end = (at + part).min(left.len());
            let without: Vec<T> =
                left.iter().take(at).chain(left.iter().skip(end)).cloned().collect();
            if fails(&without) {
                left = without;
            } else {
                at = end;
            }
        }
        if part > 1 {
            part = part.div_ceil(2);
        } else if left.len() == before {
            return left;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_more_can_be_left_out() {
        let steps: Vec<u32> = (0..100).collect();
        let mut asked = 0;
        let found = shrink(&steps, |some| {
            asked += 1;
            some.iter().sum::<u32>() >= 198
        });
        assert!(found.iter().sum::<u32>() >= 198);
        for at in 0..found.len() {
            let mut without = found.clone();
            without.remove(at);
            assert!(without.iter().sum::<u32>() < 198, "{found:?}");
        }
        assert!(asked < 1000, "{asked}");
    }

    #[test]
    fn what_always_fails_shrinks_to_nothing() {
        assert_eq!(shrink(&[1, 2, 3], |_| true), [0; 0]);
        assert_eq!(shrink(&[1, 2, 3], |some| some.len() == 3), [1, 2, 3]);
    }
}
