//! The project's own rules, as tests: what rustfmt and clippy cannot say.
//!
//! `rules` has each rule as a function from a text to what is wrong in it, beside the proof that it can
//! fail; here each is held against the tree. A rule that is in your way is changed here, with a reason
//! in the commit, never gone around.

mod rules;
mod source;

use std::path::Path;

use rules::Finding;
use source::{SourceFile, Tree};

/// The workspace, or `None` where the crate was unpacked from a registry and stands alone.
#[expect(clippy::print_stdout, reason = "a test that skips says so")]
fn tree() -> Option<Tree> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if root.join("crates/walden/Cargo.toml").is_file() {
        return Some(Tree::read(&root));
    }
    let reason = "the crate stands alone, its workspace is not there";
    let strict = std::env::var_os("WALDEN_NO_SKIP").is_some_and(|value| value == "1");
    assert!(!strict, "WALDEN_NO_SKIP=1, and a test would be skipped: {reason}");
    println!("skipped: {reason}");
    None
}

/// Holds `rule` against all files that `applies` picks, and fails with every place and what to do.
fn hold(
    applies: impl Fn(&SourceFile) -> bool,
    rule: impl Fn(&SourceFile) -> Vec<Finding>,
    what_to_do: &str,
) {
    let Some(tree) = tree() else { return };
    let wrong: Vec<String> = tree
        .files
        .iter()
        .filter(|file| applies(file))
        .flat_map(|file| {
            let findings = rule(file);
            findings
                .into_iter()
                .map(|found| format!("{}:{}: {}", file.path, found.line, found.what))
        })
        .collect();
    assert!(wrong.is_empty(), "{}\n{what_to_do}\n", wrong.join("\n"));
}

#[test]
fn the_walk_sees_the_tree() {
    let Some(tree) = tree() else { return };
    for path in ["Cargo.toml", "CONTRIBUTING.md", ".ci/run", "crates/walden/src/lib.rs"] {
        assert!(tree.get(path).is_some(), "{path} was not read: every other rule would be blind");
    }
}

#[test]
fn source_files_are_short() {
    hold(
        |file| file.is_rust() && file.is_src(),
        |file| rules::length(&file.text),
        "Look for the seam between two concerns and make two modules of it.",
    );
}

#[test]
fn unsafe_code_is_only_under_storage() {
    hold(
        |file| {
            file.is_rust()
                && (file.is_src() || file.is_example())
                && !file.path.starts_with("crates/walden/src/storage/")
                // A bare loop to compare the mmap engine with; it is in no library.
                && file.path != "crates/walden-bench/src/baseline/mapping.rs"
                // Shutting filesystems down and deciding over system calls has no safe interface.
                && file.path != "crates/walden-faults/src/sys.rs"
        },
        |file| rules::unsafe_code(&file.text),
        "Do it without, or move it behind the traits of crates/walden/src/storage/.",
    );
}

#[test]
fn ignored_tests_say_why() {
    hold(
        SourceFile::is_rust,
        |file| rules::bare_ignore(&file.text),
        "Write #[ignore = \"the reason, and how to run it\"].",
    );
}

#[test]
fn nothing_is_left_for_later() {
    hold(
        |file| file.is_rust() || file.has_extension(&["toml", "sh"]) || file.path == ".ci/run",
        |file| rules::left_for_later(&file.text),
        "Do it now, or say in plain words what is not done and why.",
    );
}

#[test]
fn text_is_clean() {
    hold(
        |file| {
            !file.is_stored_data()
                && (file.has_extension(&["rs", "md", "toml", "sh", "txt", "yml", "yaml"])
                    || file.path == ".ci/run"
                    || file.path.starts_with("LICENSE"))
        },
        |file| rules::unclean_text(&file.text),
        "Remove them; `cargo fmt` does so in Rust code.",
    );
}

#[test]
fn links_between_files_resolve() {
    let Some(tree) = tree() else { return };
    hold(
        |file| file.has_extension(&["md"]) && !file.is_stored_data(),
        |file| rules::dead_links(&file.text, &|target| tree.resolves(&file.path, target)),
        "Correct the link, or add the file.",
    );
}

/// What a promise rests on is a test that can be run: by the name that stands beside it.
#[test]
fn tests_named_in_the_guarantees_exist() {
    let Some(tree) = tree() else { return };
    let defined: std::collections::BTreeSet<&str> = tree
        .files
        .iter()
        .filter(|file| file.is_rust())
        .flat_map(|file| rules::defined(&file.text))
        .collect();
    hold(
        |file| file.path == "docs/guarantees.md",
        |file| rules::missing_tests(&file.text, &|name| defined.contains(name)),
        "Name the test that there is.",
    );
}

#[test]
fn no_path_of_a_machine() {
    hold(
        |_| true,
        |file| rules::machine_paths(&file.text),
        "Nobody else has that folder: use a relative path, or one such as /var/lib/app.",
    );
}

#[test]
fn imports_run_one_way() {
    hold(
        |file| file.is_rust() && file.module_path().is_some(),
        |file| rules::imports(&file.module_path().unwrap_or_default(), &file.text),
        "A record flows one way (docs/design.md): move what both need below both, or hand it in.",
    );
}

#[test]
fn default_settings_come_with_their_warning() {
    hold(
        |file| {
            file.is_example()
                || (file.path.starts_with("crates/walden-cli/src/") && file.is_rust())
                || (file.path.starts_with("docs/") && file.has_extension(&["md"]))
                || file.file_name() == "README.md"
        },
        |file| rules::unwarned_default(&file.text),
        "Config::default() is not durable: use Config::durable(), or say `Background` beside it.",
    );
}

#[test]
fn default_settings_in_the_api_docs_come_with_their_warning() {
    hold(
        |file| file.is_rust() && file.is_src(),
        |file| {
            let mut found = rules::unwarned_default(&file.text);
            found.retain(|found| rules::is_comment(&file.text, found.line));
            found
        },
        "Config::default() is not durable: use Config::durable(), or say `Background` beside it.",
    );
}

#[test]
fn crates_take_the_lints_of_the_workspace() {
    hold(
        |file| {
            file.path.starts_with("crates/")
                && file.path.matches('/').count() == 2
                && file.file_name() == "Cargo.toml"
        },
        |file| rules::foreign_lints(&file.text),
        "Add `rust-version.workspace = true` and `[lints]` with `workspace = true`.",
    );
}

#[test]
fn crates_that_must_replay_switch_the_lists_on() {
    hold(
        |file| ["crates/walden/src/lib.rs", "crates/walden-sim/src/lib.rs"].contains(&&*file.path),
        |file| rules::lists_not_switched_on(&file.text),
        "Add #![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))].",
    );
}
