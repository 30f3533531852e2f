//! Cargo features: only the binary decides what is in it. Conditions on features anywhere else
//! make two libraries out of one, and only one of them is tested. The exception is one file that
//! lets a test kill the process at named places, and does nothing in any other build.

use super::project::{Breach, Project};
use super::rust_text::{code_only, line_at, words};

/// Where the places for crashes are made: the one file outside the binary's crate.
const FAULT_POINTS: &str = "crates/storage/src/fault_point.rs";

/// Conditions on a feature outside the binary's crate.
pub(crate) fn breaches(project: &Project) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (path, text) in project.rust() {
        if path.starts_with("crates/cli/") || path == FAULT_POINTS {
            continue;
        }
        let code = code_only(text);
        for at in conditions(&code) {
            let says = "a condition on a feature outside crates/cli";
            breaches.push(Breach::new(path, line_at(&code, at), says));
        }
    }
    breaches
}

/// Where code says `cfg(…)`, `cfg!(…)` or `cfg_attr(…)` with the word `feature` in it.
fn conditions(code: &str) -> Vec<usize> {
    words(code)
        .into_iter()
        .filter(|(at, word)| {
            let rest = code[at + word.len()..].trim_start_matches('!').trim_start();
            matches!(*word, "cfg" | "cfg_attr")
                && rest.starts_with('(')
                && words(in_brackets(rest)).iter().any(|(_, word)| *word == "feature")
        })
        .map(|(at, _)| at)
        .collect()
}

/// The text up to the bracket that closes the first one.
fn in_brackets(code: &str) -> &str {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth <= 1 => return &code[..at],
            ')' => depth -= 1,
            _ => {}
        }
    }
    code
}

#[test]
fn conditions_on_features_are_found_outside_the_binary() {
    let bad = [
        "#[cfg(feature = \"redis\")]\nmod redis;",
        "if cfg!(all(unix, feature = \"x\")) {}",
        "#[cfg_attr(not(feature = \"x\"), expect(dead_code))]",
    ];
    for text in bad {
        let project = Project::of(&[
            ("crates/core/a.rs", text),
            ("crates/cli/a.rs", text),
            (FAULT_POINTS, text),
        ]);
        let says = "a condition on a feature outside crates/cli";
        assert_eq!(breaches(&project), [Breach::new("crates/core/a.rs", 1, says)], "{text}");
    }
}

#[test]
fn other_conditions_are_fine() {
    let text = "#[cfg(test)]\nmod tests { fn feature() {} }\n// #[cfg(feature = \"x\")]\n\
                #[cfg(target_os = \"linux\")]\nconst A: &str = \"cfg(feature)\";";
    assert!(breaches(&Project::of(&[("crates/core/a.rs", text)])).is_empty());
}
