//! The rules: each from a text to what is wrong in it.

use super::source::{code_only, is_word, without_tests};

/// Something wrong in a line, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) line: usize,
    pub(crate) what: String,
}

const MAX_LINES: usize = 600;

/// Top-level names of the crate that stand for the module `error`.
const ERROR_NAMES: [&str; 3] = ["Error", "ErrorKind", "Result"];

fn finding(line: usize, what: impl Into<String>) -> Finding {
    Finding { line, what: what.into() }
}

/// One finding for each line for which `wrong` gives a description.
fn by_line(text: &str, wrong: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let lines = text.split('\n').enumerate();
    lines.filter_map(|(at, line)| Some(finding(at + 1, wrong(line)?))).collect()
}

/// Where `word` stands in `line` by itself, not as a part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let (before, rest) = line.split_at(at);
        let after = rest.strip_prefix(word).unwrap_or_default();
        !before.ends_with(is_word) && !after.starts_with(is_word)
    })
}

pub(crate) fn length(text: &str) -> Vec<Finding> {
    let lines = text.lines().count();
    if lines <= MAX_LINES {
        return Vec::new();
    }
    vec![finding(MAX_LINES + 1, format!("{lines} lines, of at most {MAX_LINES}"))]
}

pub(crate) fn unsafe_code(text: &str) -> Vec<Finding> {
    by_line(&code_only(text), |line| has_word(line, "unsafe").then(|| "unsafe code".to_owned()))
}

pub(crate) fn bare_ignore(text: &str) -> Vec<Finding> {
    by_line(&code_only(text), |line| {
        let squeezed: String = line.chars().filter(|c| !c.is_whitespace()).collect();
        let bare = ["#[ignore]", ",ignore)]", "#[ignore()]"];
        bare.iter()
            .any(|form| squeezed.contains(form))
            .then(|| "ignored without a reason".to_owned())
    })
}

pub(crate) fn left_for_later(text: &str) -> Vec<Finding> {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let macros = [concat!("todo", "!"), concat!("unimplemented", "!")];
    by_line(text, |line| {
        let word = words.iter().find(|word| has_word(line, word));
        let called = macros.iter().find(|name| line.contains(**name));
        word.or(called).map(|mark| format!("`{mark}` is left"))
    })
}

pub(crate) fn unclean_text(text: &str) -> Vec<Finding> {
    by_line(text, |line| {
        // Invisible characters can make code read otherwise than it runs.
        let invisible = |c: char| {
            matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
                || c == '\u{feff}'
        };
        if let Some(c) = line.chars().find(|c| c.is_control() || invisible(*c)) {
            return Some(format!("character {}", c.escape_unicode()));
        }
        line.ends_with(char::is_whitespace).then(|| "white space at the end of the line".to_owned())
    })
}

/// Links of a Markdown text to files for which `exists` says no.
pub(crate) fn dead_links(text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
        for target in link_targets(&prose) {
            let file = target.split('#').next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            // `crate::Config` is rustdoc's to check.
            if elsewhere || file.is_empty() || file.contains("::") || exists(file) {
                continue;
            }
            found.push(finding(at + 1, format!("link to {file}, which is not there")));
        }
    }
    found
}

/// Names of tests that a Markdown text gives (`target::module::test`, or a name of three words or more) and for whose last
/// part `exists` says no.
pub(crate) fn missing_tests(text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    by_line(text, |line| {
        let names = line.split('`').skip(1).step_by(2);
        let is_name = |name: &&str| {
            name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c))
                && (name.contains("::") || name.matches('_').count() > 1)
        };
        let gone = |name: &&str| !exists(name.rsplit("::").next().unwrap_or_default());
        names.filter(is_name).find(gone).map(|name| format!("`{name}` is not there"))
    })
}

/// The names of functions and modules that a Rust text defines.
pub(crate) fn defined(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = ["pub(crate) ", "pub(super) ", "pub "]
            .iter()
            .find_map(|before| line.strip_prefix(before))
            .unwrap_or(line);
        let rest = ["fn ", "const fn ", "mod "].iter().find_map(|word| line.strip_prefix(word))?;
        rest.split(|c: char| !is_word(c)).next()
    })
}

fn link_targets(line: &str) -> Vec<&str> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
    let named = definition.and_then(|(_, rest)| rest.split_whitespace().next());
    inline.chain(named).map(|target| target.trim_matches(['<', '>'])).collect()
}

pub(crate) fn machine_paths(text: &str) -> Vec<Finding> {
    let roots = ["work", "root", "home", "farm"].map(|name| format!("/{name}"));
    by_line(text, |line| {
        let root = roots.iter().find(|root| {
            line.match_indices(root.as_str()).any(|(at, _)| {
                let (before, rest) = line.split_at(at);
                let after = rest.strip_prefix(root.as_str()).unwrap_or_default();
                let joins = |c: char| is_word(c) || "-./~*$%})]>".contains(c);
                !before.ends_with(joins) && !after.starts_with(|c| is_word(c) || c == '-')
            })
        });
        root.map(|root| format!("a path under {root}"))
    })
}

/// Which way modules may name each other. `module` is where the text stands in the crate.
pub(crate) fn imports(module: &[&str], text: &str) -> Vec<Finding> {
    let Some((&top, _)) = module.split_first() else { return Vec::new() };
    let code = code_only(without_tests(text));
    let up = "super::".repeat(module.len());
    let mut named = names_under(&code, "crate::");
    named.extend(names_under(&code, &up));
    let wrong = |name: &str| match (top, name) {
        ("record", name) => {
            !["record", "error", "num", "checksum"].contains(&name) && !is_error(name)
        }
        ("storage", name) => {
            !["storage", "error", "num", "sync"].contains(&name) && !is_error(name)
        }
        ("read", "write") | ("write", "read") => true,
        (top, "wal" | "Wal") => top != "wal",
        _ => false,
    };
    named.retain(|(_, name)| wrong(name));
    named.sort();
    named.into_iter().map(|(line, name)| finding(line, format!("`{top}` names `{name}`"))).collect()
}

fn is_error(name: &str) -> bool {
    ERROR_NAMES.contains(&name)
}

/// The names that directly follow `prefix` in code, in a `{…}` too, with their lines.
fn names_under(code: &str, prefix: &str) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let (before, rest) = code.split_at(at);
        if before.ends_with(is_word) || before.ends_with("::") {
            continue;
        }
        let line = before.matches('\n').count() + 1;
        let rest = rest.strip_prefix(prefix).unwrap_or_default();
        let starts = if rest.starts_with('{') { group(rest) } else { vec![rest] };
        for start in starts {
            let end = start.find(|c| !is_word(c)).unwrap_or(start.len());
            let name = start.get(..end).filter(|name| !name.is_empty()).unwrap_or("*");
            if name != "super" {
                names.push((line, name.to_owned()));
            }
        }
    }
    names
}

/// What begins each item of the `{…}` that `rest` begins with.
fn group(rest: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let mut depth = 0_usize;
    for (at, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => break,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 1 && (c == '{' || c == ',') {
            let item = rest.get(at + 1..).unwrap_or_default().trim_start();
            if !item.starts_with('}') {
                items.push(item);
            }
        }
    }
    items
}

pub(crate) fn unwarned_default(text: &str) -> Vec<Finding> {
    let lines: Vec<&str> = text.lines().collect();
    let warns =
        |line: &&str| line.contains("Background") || line.to_lowercase().contains("not durable");
    let hits = lines.iter().enumerate().filter(|(_, line)| line.contains("Config::default()"));
    hits.filter(|(at, _)| !lines.iter().skip(at.saturating_sub(3)).take(at.min(&3) + 4).any(warns))
        .map(|(at, _)| finding(at + 1, "Config::default() without its warning"))
        .collect()
}

pub(crate) fn is_comment(text: &str, line: usize) -> bool {
    let line = line.checked_sub(1).and_then(|at| text.lines().nth(at));
    line.is_some_and(|line| line.trim_start().starts_with("//"))
}

pub(crate) fn foreign_lints(manifest: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    if !manifest.contains("[lints]\nworkspace = true") {
        found.push(finding(1, "does not take the lints of the workspace"));
    }
    if !manifest.contains("rust-version.workspace = true") {
        found.push(finding(1, "does not take the oldest Rust version from the workspace"));
    }
    found
}

pub(crate) fn lists_not_switched_on(lib: &str) -> Vec<Finding> {
    let deny = "deny(clippy::disallowed_methods, clippy::disallowed_types)";
    if code_only(lib).contains(deny) {
        return Vec::new();
    }
    vec![finding(1, "the lists of clippy.toml are not switched on")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|found| found.line).collect()
    }

    #[test]
    fn length_is_bounded() {
        assert_eq!(length(&"x\n".repeat(MAX_LINES)), []);
        assert_eq!(lines(&length(&"x\n".repeat(MAX_LINES + 1))), [MAX_LINES + 1]);
    }

    #[test]
    fn unsafe_is_found_in_code_only() {
        let text = "// unsafe\n#![deny(unsafe_code)]\nlet s = \"unsafe\";\nunsafe { f() }\n";
        assert_eq!(lines(&unsafe_code(text)), [4]);
    }

    #[test]
    fn an_ignore_needs_a_reason() {
        let text = "#[ignore]\n#[ignore = \"slow\"]\n// #[ignore]\n#[cfg_attr(miri, ignore)]\n";
        assert_eq!(lines(&bare_ignore(text)), [1, 4]);
    }

    #[test]
    fn leftovers_are_found_in_comments_too() {
        let later = concat!("// TO", "DO: x\n");
        let text = [later, "fn todos() {}\n", concat!("todo", "!()\n"), concat!("# FIX", "ME\n")];
        assert_eq!(lines(&left_for_later(&text.concat())), [1, 3, 4]);
    }

    #[test]
    fn tabs_trailing_space_and_invisible_characters_are_found() {
        let text = "fine – ≤ é\n\tx\nx \nx\r\nx\u{202e}y\n\n";
        assert_eq!(lines(&unclean_text(text)), [2, 3, 4, 5]);
    }

    #[test]
    fn dead_links_are_found_outside_code() {
        let text = "[a](there.md) [b](gone.md#part)\n[c](https://x.org/y) [d](#here)\n\
                    ```\n[e](gone.md)\n```\n`[f](gone.md)` ![g](gone.png)\n[h]: gone.md\n\
                    [i](crate::Config)\n";
        let found = dead_links(text, &|target| target == "there.md");
        assert_eq!(lines(&found), [1, 6, 7]);
    }

    #[test]
    fn names_of_tests_that_are_gone_are_found() {
        let text = "`a::b::there`\n`a::gone`\n`stats()` `two_words` `a_b_there` `x_y_z`\n`gone_with_it`\n`a b::gone`\n";
        let found = missing_tests(text, &|name| name.contains("there"));
        assert_eq!(lines(&found), [2, 3, 4]);
    }

    #[test]
    fn paths_of_a_machine_are_found() {
        for (text, wrong) in [
            ("see /{work}/main", true),
            ("`/{home}/me/x`", true),
            ("path=\"/{root}\"", true),
            ("(/{farm}/a)", true),
            ("a/{work}/b", false),
            ("https://x.org/{home}/", false),
            ("/{work}space", false),
            ("$DIR/{work}, ../{root}, <dir>/{home}", false),
            ("/var/lib/app", false),
        ] {
            let text = text.replace(['{', '}'], "");
            assert_eq!(!machine_paths(&text).is_empty(), wrong, "{text}");
        }
    }

    #[test]
    fn imports_against_the_flow_are_found() {
        let found = |module: &[&str], text: &str| lines(&imports(module, text));
        let fine = "use crate::error::Error;\nuse crate::{num, Result};\n/// [`crate::Wal`]\n";
        assert_eq!(found(&["record", "encode"], fine), []);
        assert_eq!(found(&["record"], "use crate::storage::File;\n"), [1]);
        assert_eq!(found(&["record"], "use crate::{error::{Error, Result}, sync::Arc};\n"), [1]);
        assert_eq!(found(&["record"], "\nuse super::config::Config;\n"), [2]);
        assert_eq!(found(&["record", "encode"], "use super::layout;\n"), []);
        assert_eq!(found(&["record", "encode"], "use super::super::config::Config;\n"), [1]);
        assert_eq!(found(&["record"], "#[cfg(test)]\nmod tests {\n    use crate::sync;\n}\n"), []);
        assert_eq!(
            found(&["storage", "os"], "use crate::sync::Arc;\nuse crate::config::X;\n"),
            [2]
        );
        assert_eq!(found(&["storage"], "use crate::*;\n"), [1]);
        assert_eq!(found(&["write", "append"], "fn f() { crate::read::g() }\n"), [1]);
        assert_eq!(found(&["read"], "use crate::{\n    record,\n    write::Appender,\n};\n"), [1]);
        assert_eq!(found(&["read"], "use crate::segment;\n"), []);
        assert_eq!(found(&["trim"], "use crate::wal::Wal;\n\nuse crate::Wal;\n"), [1, 3]);
        assert_eq!(found(&["wal"], "use crate::wal::Inner;\nuse crate::read;\n"), []);
    }

    #[test]
    fn the_default_needs_its_warning_near() {
        let call = "Wal::open(dir, Config::default())\n";
        assert_eq!(lines(&unwarned_default(call)), [1]);
        assert_eq!(unwarned_default(&format!("// Background: may lose\n\n\n{call}")), []);
        assert_eq!(lines(&unwarned_default(&format!("// Background\n\n\n\n{call}"))), [5]);
        assert_eq!(unwarned_default(&format!("{call}\n\nNot durable.\n")), []);
        assert_eq!(lines(&unwarned_default(&format!("{call}\n\n\nNot durable.\n"))), [1]);
        assert!(is_comment("x\n  /// y\n", 2));
        assert!(!is_comment("x // y\n", 1));
    }

    #[test]
    fn a_crate_with_its_own_lints_is_found() {
        let manifest = "[package]\nrust-version.workspace = true\n\n[lints]\nworkspace = true\n";
        assert_eq!(foreign_lints(manifest), []);
        assert_eq!(foreign_lints("[package]\n[lints.rust]\nx = \"allow\"\n").len(), 2);
    }

    #[test]
    fn lists_that_are_off_are_found() {
        let on = "#![deny(clippy::disallowed_methods, clippy::disallowed_types)]\n";
        assert_eq!(lists_not_switched_on(on), []);
        assert_eq!(lines(&lists_not_switched_on(&format!("// {on}"))), [1]);
    }
}
