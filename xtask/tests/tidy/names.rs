//! Names that say nothing: whatever is called so collects whatever fits nowhere else.

use super::project::{Breach, Project};
use super::rust_text::{code_only, line_at, words};

const BANNED: [&str; 12] = [
    "manager",
    "managers",
    "handler",
    "handlers",
    "processor",
    "processors",
    "helper",
    "helpers",
    "util",
    "utils",
    "common",
    "misc",
];

/// Words that are followed by the name of a type or a module.
const DECLARES: [&str; 6] = ["struct", "enum", "trait", "type", "union", "mod"];

/// Files, folders, types and modules with a banned word in their name.
pub(crate) fn breaches(project: &Project) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for path in project.paths() {
        if let Some(word) = banned_word(path) {
            breaches.push(Breach::new(path, 0, format!("`{word}` in the name of a file")));
        }
    }
    for (path, text) in project.rust() {
        let code = code_only(text);
        let words = words(&code);
        for pair in words.windows(2) {
            let (at, name) = pair[1];
            if DECLARES.contains(&pair[0].1)
                && let Some(word) = banned_word(name)
            {
                let says = format!("`{word}` in the name `{name}`");
                breaches.push(Breach::new(path, line_at(&code, at), says));
            }
        }
    }
    breaches
}

/// The banned word in a path, a `snake_case` or a `CamelCase` name.
fn banned_word(name: &str) -> Option<&'static str> {
    let mut words = String::with_capacity(name.len() * 2);
    let mut was_lower = false;
    for c in name.chars() {
        if c.is_uppercase() && was_lower || !c.is_alphanumeric() {
            words.push(' ');
        }
        was_lower = c.is_lowercase();
        words.extend(c.to_lowercase());
        if !c.is_alphanumeric() {
            words.push(' ');
        }
    }
    words.split_whitespace().find_map(|word| BANNED.into_iter().find(|banned| *banned == word))
}

#[test]
fn banned_words_are_found_in_files_types_and_modules() {
    let text = "//! x\nstruct SessionManager;\npub enum HTTPHandler {}\nmod string_utils;\n";
    let project = Project::of(&[("crates/core/src/a.rs", text), ("sdk/src/http-utils.ts", "")]);
    let expected = [
        Breach::new("sdk/src/http-utils.ts", 0, "`utils` in the name of a file"),
        Breach::new("crates/core/src/a.rs", 2, "`manager` in the name `SessionManager`"),
        Breach::new("crates/core/src/a.rs", 4, "`utils` in the name `string_utils`"),
    ];
    let found = breaches(&project);
    for breach in expected {
        assert!(found.contains(&breach), "{breach} is missing from {found:?}");
    }
}

#[test]
fn folders_count_too() {
    assert_eq!(banned_word("crates/common/src/lib.rs"), Some("common"));
    assert_eq!(banned_word("tests/helpers.rs"), Some("helpers"));
    assert_eq!(banned_word("MISC"), Some("misc"));
}

#[test]
fn a_part_of_a_word_is_no_word() {
    for fine in ["uncommon", "Utility", "futile.rs", "handle", "managed", "commonmark.rs"] {
        assert_eq!(banned_word(fine), None, "{fine}");
    }
}
