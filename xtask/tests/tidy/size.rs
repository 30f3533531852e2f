//! Sizes: what fits a screen is read, what does not is skimmed.

use super::project::{Breach, Project};
use super::rust_text::functions;

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const ARCHITECTURE_LINES_MAX: usize = 300;

/// Files of code that are too long, tests included.
pub(crate) fn long_files(project: &Project) -> Vec<Breach> {
    let long = |(path, text): (&str, &str)| too_long(path, text, FILE_LINES_MAX);
    project.rust().chain(project.typescript()).filter_map(long).collect()
}

/// Functions that are too long.
pub(crate) fn long_functions(project: &Project) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (path, text) in project.rust() {
        for function in functions(text) {
            if function.code_lines > FUNCTION_LINES_MAX {
                let says = format!(
                    "fn {} has {} lines of code, {FUNCTION_LINES_MAX} at most",
                    function.name, function.code_lines
                );
                breaches.push(Breach::new(path, function.line, says));
            }
        }
    }
    breaches
}

/// ARCHITECTURE.md, if it is too long.
pub(crate) fn long_architecture(project: &Project) -> Vec<Breach> {
    let path = "ARCHITECTURE.md";
    let text = project.file(path);
    text.and_then(|text| too_long(path, text, ARCHITECTURE_LINES_MAX)).into_iter().collect()
}

fn too_long(path: &str, text: &str, lines_max: usize) -> Option<Breach> {
    let lines = text.lines().count();
    (lines > lines_max)
        .then(|| Breach::new(path, 0, format!("has {lines} lines, {lines_max} at most")))
}

#[test]
fn a_file_of_501_lines_is_too_long() {
    let fits = "//! x\n".repeat(FILE_LINES_MAX);
    let long = "//! x\n".repeat(FILE_LINES_MAX + 1);
    let files = [("a.rs", &fits), ("b.rs", &long), ("c.md", &long), ("d.tsx", &long)];
    let project = Project::of(&files.map(|(path, text)| (path, text.as_str())));
    let expected = ["b.rs", "d.tsx"].map(|path| Breach::new(path, 0, "has 501 lines, 500 at most"));
    assert_eq!(long_files(&project), expected);
}

#[test]
fn a_function_of_71_lines_is_too_long() {
    let of = |name, lines| {
        format!("fn {name}() {{\n{}\n    // The end.\n}}\n", "    x();\n".repeat(lines))
    };
    let text = format!("{}{}", of("fits", FUNCTION_LINES_MAX), of("long", FUNCTION_LINES_MAX + 1));
    let breaches = long_functions(&Project::of(&[("a.rs", &text)]));
    let expected = Breach::new("a.rs", 75, "fn long has 71 lines of code, 70 at most");
    assert_eq!(breaches, [expected]);
}

#[test]
fn an_architecture_of_301_lines_is_too_long() {
    let fits = "x\n".repeat(ARCHITECTURE_LINES_MAX);
    assert!(long_architecture(&Project::of(&[("ARCHITECTURE.md", &fits)])).is_empty());
    let long = format!("{fits}x\n");
    assert_eq!(long_architecture(&Project::of(&[("ARCHITECTURE.md", &long)])).len(), 1);
    assert!(long_architecture(&Project::of(&[])).is_empty());
}
