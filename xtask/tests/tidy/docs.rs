//! What every module and every limit must say about itself.

use super::project::{Breach, Project};

/// Rust and TypeScript files that do not start with a module comment.
pub(crate) fn modules_without_docs(project: &Project) -> Vec<Breach> {
    let silent = |text: &str| {
        let first = text.lines().next().unwrap_or_default();
        first.strip_prefix("//!").is_none_or(|says| says.trim().is_empty())
    };
    let rust = project.rust().filter(|(_, text)| silent(text));
    let typescript = project.typescript().filter(|(_, text)| !text.starts_with("/**"));
    rust.map(|(path, _)| Breach::new(path, 1, "does not start with `//!` and what it is for"))
        .chain(
            typescript.map(|(path, _)| {
                Breach::new(path, 1, "does not start with `/**` and what it is for")
            }),
        )
        .collect()
}

/// Public constants of a `limits.rs` without a doc comment.
pub(crate) fn limits_without_docs(project: &Project) -> Vec<Breach> {
    let limits = project
        .rust()
        .filter(|(path, _)| path.ends_with("/limits.rs") || path.contains("/limits/"));
    limits.flat_map(|(path, text)| constants_without_docs(path, text)).collect()
}

fn constants_without_docs(path: &str, text: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut documented = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(says) = line.strip_prefix("///") {
            documented |= !says.trim().is_empty();
        } else if !line.starts_with("#[") {
            if let Some(name) = constant(line)
                && !documented
            {
                breaches.push(Breach::new(path, index + 1, format!("{name} has no doc comment")));
            }
            documented = false;
        }
    }
    breaches
}

/// The name of the constant that a line declares.
fn constant(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("const ").or_else(|| line.split_once("static "))?;
    line.starts_with("pub").then(|| rest.split(':').next())?
}

#[test]
fn a_module_without_words_is_found() {
    let project = Project::of(&[
        ("good.rs", "//! Good.\n"),
        ("late.rs", "use x;\n//! Late.\n"),
        ("empty.rs", ""),
        ("wordless.rs", "//!\nfn f() {}\n"),
        ("good.ts", "/** Good. */\n"),
        ("silent.tsx", "import x from \"y\";\n"),
    ]);
    let paths: Vec<String> =
        modules_without_docs(&project).into_iter().map(|breach| breach.path).collect();
    assert_eq!(paths, ["empty.rs", "late.rs", "wordless.rs", "silent.tsx"]);
}

#[test]
fn a_limit_without_a_reason_is_found() {
    let text = "\
//! Limits.
/// Because.
pub const GOOD: usize = 1;
pub const BARE: usize = 2;
/// Because.
#[expect(dead_code, reason = \"x\")]
pub(crate) const WITH_ATTRIBUTE: usize = 3;
///
pub const WORDLESS: usize = 4;
/// For another.

pub const APART: usize = 5;
";
    let project = Project::of(&[("core/limits.rs", text), ("core/other.rs", text)]);
    let found: Vec<(usize, String)> = limits_without_docs(&project)
        .into_iter()
        .map(|breach| (breach.line, breach.says))
        .collect();
    let expected = [(4, "BARE"), (9, "WORDLESS"), (12, "APART")]
        .map(|(line, name)| (line, format!("{name} has no doc comment")));
    assert_eq!(found, expected);
}
