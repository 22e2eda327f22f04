//! Reading the tree, and telling code from comments, strings and tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// All text files of the workspace.
pub(crate) struct Tree {
    pub(crate) files: Vec<SourceFile>,
    /// Every file and folder, binary ones too, as paths from the root.
    names: BTreeSet<PathBuf>,
}

pub(crate) struct SourceFile {
    /// From the root, with `/` between names.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Tree {
    /// Reads all that lies under `root` but what builds and version control leave there.
    pub(crate) fn read(root: &Path) -> Self {
        let mut tree = Self { files: Vec::new(), names: BTreeSet::new() };
        tree.read_folder(root, Path::new(""));
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        tree
    }

    fn read_folder(&mut self, root: &Path, folder: &Path) {
        let Ok(entries) = fs::read_dir(root.join(folder)) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if [".git", "target", "artifacts"].iter().any(|skipped| name == *skipped) {
                continue;
            }
            let path = folder.join(&name);
            self.names.insert(path.clone());
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                self.read_folder(root, &path);
            } else if kind.is_file()
                && let Ok(bytes) = fs::read(root.join(&path))
                && !bytes.contains(&0)
                && let Ok(text) = String::from_utf8(bytes)
            {
                let names: Vec<_> = path.iter().map(|name| name.to_string_lossy()).collect();
                self.files.push(SourceFile { path: names.join("/"), text });
            }
        }
    }

    pub(crate) fn get(&self, path: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether `target`, as a link in the file `from`, leads to something in the tree.
    pub(crate) fn resolves(&self, from: &str, target: &str) -> bool {
        let mut path = PathBuf::from(from);
        path.pop();
        for part in Path::new(target).components() {
            match part {
                Component::Normal(name) => path.push(name),
                Component::CurDir => {}
                Component::ParentDir => {
                    if !path.pop() {
                        return false;
                    }
                }
                Component::RootDir | Component::Prefix(_) => return false,
            }
        }
        path.as_os_str().is_empty() || self.names.contains(&path)
    }
}

impl SourceFile {
    pub(crate) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    pub(crate) fn has_extension(&self, extensions: &[&str]) -> bool {
        let extension = self.file_name().rsplit_once('.').map(|(_, extension)| extension);
        extension.is_some_and(|extension| extensions.contains(&extension))
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.has_extension(&["rs"])
    }

    /// Under `crates/*/src`.
    pub(crate) fn is_src(&self) -> bool {
        self.path.starts_with("crates/") && self.path.split('/').nth(2) == Some("src")
    }

    pub(crate) fn is_example(&self) -> bool {
        self.is_rust() && self.path.split('/').any(|name| name == "examples")
    }

    /// Bytes kept as they were made, for tests to compare with.
    pub(crate) fn is_stored_data(&self) -> bool {
        self.path.split('/').any(|name| ["golden", "vectors", "corpus"].contains(&name))
    }

    /// Where the file stands in the crate `walden`: `["record", "encode"]`. `None` for files of other
    /// crates, for lib.rs, and for files that hold only tests.
    pub(crate) fn module_path(&self) -> Option<Vec<&str>> {
        let path = self.path.strip_prefix("crates/walden/src/")?.strip_suffix(".rs")?;
        let mut names: Vec<&str> = path.split('/').collect();
        if names.last() == Some(&"mod") {
            names.pop();
        }
        let only_tests = |name: &&str| *name == "tests" || name.ends_with("_tests");
        (names != ["lib"] && !names.iter().any(only_tests)).then_some(names)
    }
}

/// `text` with comments and the insides of literals blanked; its lines stay where they are.
pub(crate) fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let hidden = comment(rest).or_else(|| literal(rest));
        let len = hidden.or_else(|| word(rest)).unwrap_or(first.len_utf8()).min(rest.len());
        let (token, after) = rest.split_at(len);
        if hidden.is_some() {
            code.extend(token.chars().map(|c| if c == '\n' { c } else { ' ' }));
        } else {
            code.push_str(token);
        }
        rest = after;
    }
    code
}

/// `text` up to its module of tests, which stands last.
pub(crate) fn without_tests(text: &str) -> &str {
    let mut start = 0;
    let mut marked = None;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "#[cfg(test)]" {
            marked = Some(start);
        } else if line.starts_with("mod ") && line.trim_end().ends_with('{') {
            if let Some(end) = marked {
                return text.get(..end).unwrap_or(text);
            }
        } else if !line.starts_with("#[") {
            marked = None;
        }
        start += line.len();
    }
    text
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word(rest: &str) -> Option<usize> {
    let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    (len > 0).then_some(len)
}

fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    let mut at = rest.starts_with("/*").then_some(2)?;
    let mut depth = 1;
    while depth > 0 {
        let tail = rest.get(at..).unwrap_or_default();
        let Some(mark) = tail.find(['*', '/']) else { return Some(rest.len()) };
        let tail = tail.get(mark..).unwrap_or_default();
        let step = match tail.get(..2) {
            Some("/*") => 1,
            Some("*/") => -1,
            _ => 0,
        };
        depth += step;
        at += mark + if step == 0 { 1 } else { 2 };
    }
    Some(at)
}

/// The length of the string or character that `rest` begins with.
fn literal(rest: &str) -> Option<usize> {
    let prefix = word(rest).unwrap_or(0);
    let (name, after) = rest.split_at(prefix);
    let hashes = after.find(|c| c != '#').unwrap_or(0);
    if ["r", "br", "cr"].contains(&name) && after.get(hashes..)?.starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let body = prefix + hashes + 1;
        let len = rest.get(body..)?.find(&end)?;
        return Some(body + len + end.len());
    }
    let string = ["", "b", "c"].contains(&name) && after.starts_with('"');
    let mut chars = after.char_indices().skip(1);
    if string {
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => drop(chars.next()),
                '"' => return Some(prefix + at + 1),
                _ => {}
            }
        }
        return Some(rest.len());
    }
    if !["", "b"].contains(&name) || !after.starts_with('\'') {
        return None;
    }
    // A quote that no second one follows begins a lifetime.
    match chars.next()? {
        (_, '\\') => {
            chars.next();
            chars.find(|(_, c)| *c == '\'').map(|(at, _)| prefix + at + 1)
        }
        _ => chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| prefix + at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        for (text, code) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            ("f(\"x\\\"y\") z", "f(      ) z"),
            ("f(r#\"x\"y\"#) z", "f(        ) z"),
            ("f(b\"x\", br\"y\") z", "f(    ,      ) z"),
            ("match c { '\"' => 1, '\\'' => 2 }", "match c {     => 1,      => 2 }"),
            ("fn f<'a>(x: &'a str) -> &'a str", "fn f<'a>(x: &'a str) -> &'a str"),
            ("let r#type = bar(\"a\");", "let r#type = bar(   );"),
        ] {
            assert_eq!(code_only(text), code, "{text}");
        }
    }

    #[test]
    fn the_module_of_tests_is_left_out() {
        let text =
            "use a;\n#[cfg(test)]\nmod testkit;\nfn f() {}\n#[cfg(test)]\nmod tests {\n x }\n";
        assert_eq!(without_tests(text), "use a;\n#[cfg(test)]\nmod testkit;\nfn f() {}\n");
        assert_eq!(without_tests("fn f() {}\nmod inner {\n}\n"), "fn f() {}\nmod inner {\n}\n");
    }

    #[test]
    fn files_know_their_module() {
        let file = |path: &str| SourceFile { path: path.to_owned(), text: String::new() };
        let modules = |path: &str| file(path).module_path().map(|names| names.join("::"));
        assert_eq!(modules("crates/walden/src/lib.rs"), None);
        assert_eq!(modules("crates/walden/src/wal.rs").as_deref(), Some("wal"));
        assert_eq!(modules("crates/walden/src/record/mod.rs").as_deref(), Some("record"));
        assert_eq!(modules("crates/walden/src/read/follow.rs").as_deref(), Some("read::follow"));
        assert_eq!(modules("crates/walden/src/read/tests.rs"), None);
        assert_eq!(modules("crates/walden-cli/src/main.rs"), None);
    }
}
