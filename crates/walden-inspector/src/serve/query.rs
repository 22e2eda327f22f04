//! What is asked for behind the `?`: each parameter known, given once, and of its kind.

use std::fmt::Display;
use std::str::FromStr;

/// The parameters of a request.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

/// Why a request makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Nonsense(pub(super) String);

/// As much of what was given as is repeated in an answer.
const SHOWN: usize = 80;

impl Query {
    /// Takes the query apart.
    ///
    /// # Errors
    /// A parameter that is not among `known`, or is given twice.
    pub(super) fn parse(query: Option<&str>, known: &[&str]) -> Result<Self, Nonsense> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if !known.contains(&&*name) {
                let all = match known {
                    [] => "there are none here".to_owned(),
                    known => format!("there are {}", known.join(", ")),
                };
                return Err(Nonsense(format!("no parameter {}: {all}", quoted(&name))));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(Nonsense(format!("the parameter `{name}` is given twice")));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(pairs))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// A whole number.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Nonsense> {
        self.text(name).map(|value| number(name, value)).transpose()
    }

    /// A whole number from `least` to `most`, or what is taken where none is given.
    ///
    /// # Errors
    /// It is none, or outside.
    pub(super) fn within<T>(
        &self,
        name: &str,
        least: T,
        most: T,
        otherwise: T,
    ) -> Result<T, Nonsense>
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(value) = self.text(name) else { return Ok(otherwise) };
        match plain(value).and_then(|value| value.parse().ok()) {
            Some(number) if number >= least && number <= most => Ok(number),
            _ => Err(Nonsense(format!(
                "`{name}` is a whole number from {least} to {most}, and not {}",
                quoted(value)
            ))),
        }
    }

    /// One of two words.
    ///
    /// # Errors
    /// It is neither.
    pub(super) fn either(&self, name: &str, no: &str, yes: &str) -> Result<bool, Nonsense> {
        match self.text(name) {
            None => Ok(false),
            Some(value) if value == no => Ok(false),
            Some(value) if value == yes => Ok(true),
            Some(value) => {
                Err(Nonsense(format!("`{name}` is `{no}` or `{yes}`, and not {}", quoted(value))))
            }
        }
    }
}

/// A whole number that was given as `name`.
///
/// # Errors
/// It is none.
pub(super) fn number(name: &str, value: &str) -> Result<u64, Nonsense> {
    plain(value).and_then(|value| value.parse().ok()).ok_or_else(|| {
        Nonsense(format!(
            "`{name}` is a whole number from 0 to {}, and not {}",
            u64::MAX,
            quoted(value)
        ))
    })
}

/// Digits alone: `+1` is no number here.
fn plain(value: &str) -> Option<&str> {
    value.bytes().all(|byte| byte.is_ascii_digit()).then_some(value)
}

/// Bytes given as pairs of hex digits, with spaces between them or not.
///
/// # Errors
/// They are none.
pub(super) fn hex(text: &str) -> Result<Vec<u8>, Nonsense> {
    let wrong = || Nonsense(format!("`hex` is pairs of hex digits, and not {}", quoted(text)));
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        let digit = c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or_else(wrong)?;
        match high.take() {
            None => high = Some(digit),
            Some(high) => bytes.push(high << 4 | digit),
        }
    }
    if high.is_some() { Err(wrong()) } else { Ok(bytes) }
}

/// The beginning of what was given, so that it can be shown.
pub(super) fn quoted(value: &str) -> String {
    let short: String = value.chars().take(SHOWN).collect();
    let more = if short.len() < value.len() { "…" } else { "" };
    format!("`{}{more}`", short.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Query, Nonsense> {
        Query::parse(Some(query), &["from", "limit", "case"])
    }

    #[test]
    fn numbers() {
        let query = parse("from=18446744073709551615&limit=5").unwrap();
        assert_eq!(query.number("from"), Ok(Some(u64::MAX)));
        assert_eq!(query.within("limit", 1_usize, 5, 2), Ok(5));
        assert_eq!(query.within("case", 1_usize, 5, 2), Ok(2));
        for wrong in ["", "-1", "+1", "1.0", "0x1", " 1", "18446744073709551616", "١"] {
            let query = format!("from={}", wrong.replace('+', "%2B"));
            let found = parse(&query).unwrap().number("from");
            assert!(found.is_err_and(|why| why.0.contains("whole number")), "{wrong}");
        }
        assert!(parse("limit=6").unwrap().within("limit", 1_usize, 5, 2).is_err());
        assert!(parse("limit=0").unwrap().within("limit", 1_usize, 5, 2).is_err());
    }

    #[test]
    fn what_is_unknown_or_given_twice() {
        assert!(parse("form=1").unwrap_err().0.contains("there are from, limit, case"));
        assert!(parse("from=1&from=1").unwrap_err().0.contains("twice"));
        assert!(Query::parse(Some("a=1"), &[]).unwrap_err().0.contains("none here"));
    }

    #[test]
    fn bytes_by_hex_digits() {
        assert_eq!(hex("00 ff Aa"), Ok(vec![0, 255, 170]));
        assert_eq!(hex(""), Ok(vec![]));
        assert!(hex("0").is_err() && hex("0g").is_err() && hex("00f").is_err());
    }

    #[test]
    fn what_was_given_is_shown_short_and_harmless() {
        let shown = quoted(&"\u{1b}".repeat(1000));
        assert!(shown.len() < 700 && !shown.contains('\u{1b}'), "{shown}");
    }
}
