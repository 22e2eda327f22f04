//! Text for cells of a terminal: made harmless, broken into lines, and rates as a row of bars.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Marks that may stand on one letter. More of them only pile up over other lines.
const MARKS: usize = 2;

/// Bytes as one line of at most `most` columns: what is no UTF-8, steers a terminal, turns a line around, or cannot
/// be seen, is escaped. What is left out at the end is told by an ellipsis.
pub(super) fn clean(bytes: &[u8], most: usize) -> String {
    let mut out = String::new();
    let (mut width, mut marks) = (0_usize, 0);
    // A column takes no more than a letter and its marks, of four bytes each: what lies behind is not looked at.
    let seen = bytes.get(..most.saturating_add(1).saturating_mul(4 * (1 + MARKS))).unwrap_or(bytes);
    for chunk in seen.utf8_chunks() {
        for c in chunk.valid().chars() {
            let columns = c.width().unwrap_or(0);
            marks = if columns == 0 { marks + 1 } else { 0 };
            let hidden = c.is_control() || is_unseen(c) || (columns == 0 && marks > MARKS);
            let piece = if hidden { c.escape_default().to_string() } else { c.to_string() };
            width += if hidden { piece.len() } else { columns };
            if width > most {
                return cut(out, most);
            }
            out.push_str(&piece);
        }
        for byte in chunk.invalid() {
            width += 4;
            if width > most {
                return cut(out, most);
            }
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    if seen.len() < bytes.len() { cut(out, most) } else { out }
}

/// `text` with an ellipsis at its end, in `most` columns.
fn cut(mut text: String, most: usize) -> String {
    while text.width() >= most && text.pop().is_some() {}
    if most > 0 {
        text.push('…');
    }
    text
}

/// What has no shape of its own, or changes that of its neighbours: marks of direction, separators of lines, joiners,
/// selectors of variants, tags.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Lines of at most `width` columns, broken between words; a word that is longer is broken anywhere.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let (mut line, mut used) = (String::new(), 0_usize);
    for word in text.split(' ') {
        let room = word.width();
        if used > 0 && used.saturating_add(1).saturating_add(room) > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        } else if used > 0 {
            line.push(' ');
            used += 1;
        }
        for c in word.chars() {
            let columns = c.width().unwrap_or(0);
            if used > 0 && used.saturating_add(columns) > width {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(c);
            used += columns;
        }
    }
    lines.push(line);
    lines
}

/// `text` filled up with spaces behind it to `width` columns.
pub(super) fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// `text` with spaces before it to `width` columns.
pub(super) fn right(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(text.width())))
}

/// The last `width` of the values as bars, the highest of them full; nothing is a blank.
pub(super) fn bars(values: &[u64], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = values.get(values.len().saturating_sub(width)..).unwrap_or_default();
    let most = u128::from(shown.iter().copied().max().unwrap_or_default().max(1));
    let bar = |value: &u64| match value {
        0 => ' ',
        value => {
            let step = (u128::from(*value) * 8).div_ceil(most).saturating_sub(1);
            usize::try_from(step).ok().and_then(|step| BARS.get(step)).copied().unwrap_or('█')
        }
    };
    shown.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal() {
        let text = clean(b"\x1b]0;title\x07a\r\n\t\xff\xc2\x9b2J\xe2\x80\xae \xc3\xa9", 200);
        assert_eq!(text, "\\u{1b}]0;title\\u{7}a\\r\\n\\t\\xff\\u{9b}2J\\u{202e} é");
        // Every character alone: none that is left has an effect on others.
        for c in (0..=0x0001_ffff).chain(0x000e_0000..=0x000e_1000).filter_map(char::from_u32) {
            let text = clean(c.to_string().as_bytes(), 80);
            assert!(text.chars().all(|c| !c.is_control() && !is_unseen(c)), "{c:?}");
            assert!(text.width() > 0 || c.width() == Some(0), "{c:?} is gone");
        }
    }

    #[test]
    fn marks_do_not_pile_up() {
        assert_eq!(clean("e\u{301}\u{302}".as_bytes(), 80), "e\u{301}\u{302}");
        let tower = format!("e{}f", "\u{301}".repeat(1000));
        let text = clean(tower.as_bytes(), 40);
        assert_eq!(text.matches('\u{301}').count(), MARKS, "{text}");
        assert!(text.width() <= 40, "{text}");
    }

    #[test]
    fn no_line_is_longer_than_asked_for() {
        assert_eq!(clean(b"abcdef", 6), "abcdef");
        assert_eq!(clean(b"abcdef", 3), "ab…");
        assert_eq!(clean("水水水".as_bytes(), 4), "水…");
        assert_eq!(clean(b"abc", 0), "");
        assert_eq!(clean(&[b'x'; 1 << 20], 10), "xxxxxxxxx…");
        for most in 0..50 {
            for text in
                ["a\u{1b}b\u{202e}c水\u{301}\u{301}\u{301}".repeat(20), "\u{301}".repeat(900)]
            {
                assert!(clean(text.as_bytes(), most).width() <= most, "{most}");
                assert!(clean(&text.as_bytes()[1..], most).width() <= most, "{most}");
            }
        }
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(wrap("one two three", 80), ["one two three"]);
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one seven", 3), ["one", "sev", "en"]);
        assert_eq!(wrap("水水水", 4), ["水水", "水"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("ab", 0), ["a", "b"]);
    }

    #[test]
    fn rates_are_bars() {
        assert_eq!(bars(&[0, 1, 4, 8], 10), " ▁▄█");
        assert_eq!(bars(&[9, 0, 0], 2), "  ");
        assert_eq!(bars(&[u64::MAX, 1], 2), "█▁");
        assert_eq!(bars(&[1], 0), "");
        assert_eq!(bars(&[], 5), "");
    }
}
