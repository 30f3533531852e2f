//! The files of the project: what git tracks or would track, or everything when the project was
//! unpacked from an archive.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;

/// Folders that hold no sources.
const SKIPPED_FOLDERS: [&str; 4] = [".git", "target", "node_modules", "tidings-data"];

/// A rule broken at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Breach {
    /// The file, from the root of the project.
    pub(crate) path: String,
    /// The line from 1, or 0 for the file as a whole.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) says: String,
}

impl Breach {
    pub(crate) fn new(path: &str, line: usize, says: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, says: says.into() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "  {}: {}", self.path, self.says),
            line => write!(f, "  {}:{line}: {}", self.path, self.says),
        }
    }
}

/// Every file by its path from the root, `/`-separated; `None` where it isn't text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Project {
    files: BTreeMap<String, Option<String>>,
}

impl Project {
    /// A project of these text files, for the rules' own tests.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let entry = |&(path, text): &(&str, &str)| (path.to_owned(), Some(text.to_owned()));
        Self { files: files.iter().map(entry).collect() }
    }

    /// The project on disk under `root`.
    pub(crate) fn read(root: &Path) -> Self {
        let paths = tracked(root).unwrap_or_else(|| walked(root));
        let mut files = BTreeMap::new();
        for path in paths {
            // A file may be gone although git still lists it: deleted, and not committed yet.
            if let Ok(bytes) = std::fs::read(root.join(&path)) {
                files.insert(path, String::from_utf8(bytes).ok());
            }
        }
        Self { files }
    }

    /// Whether there is such a file, or a folder with files in it.
    pub(crate) fn holds(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        let below = |name: &String| name.starts_with(&folder);
        path.is_empty()
            || self.files.contains_key(path)
            || self.files.range(folder.clone()..).next().is_some_and(|(name, _)| below(name))
    }

    /// The text of a file.
    pub(crate) fn file(&self, path: &str) -> Option<&str> {
        self.files.get(path).and_then(Option::as_deref)
    }

    /// Every path, also of files that aren't text.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Every text file: its path and its text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// Every Rust file written by people: its path and its text.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(|(path, text)| path.ends_with(".rs") && !is_generated(text))
    }

    /// Every TypeScript file written by people: its path and its text.
    pub(crate) fn typescript(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_ours = |path: &str| path.ends_with(".ts") || path.ends_with(".tsx");
        self.texts().filter(move |(path, text)| is_ours(path) && !is_generated(text))
    }
}

/// Generated files say so in their first lines.
fn is_generated(text: &str) -> bool {
    text.lines().take(3).any(|line| line.starts_with("//") && line.contains("@generated"))
}

/// What git tracks, or would track at the next `git add`. `None` where there is no git, or the
/// project only lies inside somebody else's repository.
fn tracked(root: &Path) -> Option<Vec<String>> {
    if !root.join(".git").exists() {
        return None;
    }
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()?;
    let listed = String::from_utf8(output.stdout).ok()?;
    let paths: Vec<String> =
        listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    (output.status.success() && !paths.is_empty()).then_some(paths)
}

fn walked(root: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(root.join(&folder)).expect("the project is readable");
        for entry in entries {
            let entry = entry.expect("the project is readable");
            let name = entry.file_name().into_string().expect("names in the project are UTF-8");
            let kind = entry.file_type().expect("the project is readable");
            let path = format!("{folder}{name}");
            if kind.is_dir() && !SKIPPED_FOLDERS.contains(&name.as_str()) {
                folders.push(format!("{path}/"));
            } else if kind.is_file() {
                paths.push(path);
            }
        }
    }
    paths
}

#[test]
fn without_git_the_tree_is_walked() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["a.md", "crates/core/src/lib.rs", "target/debug/junk.rs", "fuzz/target/junk.rs"] {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "text").unwrap();
    }
    std::fs::write(folder.path().join("picture.png"), [0xff, 0xfe, 0x00]).unwrap();

    let project = Project::read(folder.path());
    let paths: Vec<&str> = project.paths().collect();
    assert_eq!(paths, ["a.md", "crates/core/src/lib.rs", "picture.png"]);
    assert_eq!(project.file("a.md"), Some("text"));
    assert_eq!(project.file("picture.png"), None);
}

#[test]
fn knows_its_folders() {
    let project = Project::of(&[("docs/a.md", ""), ("docs-old", "")]);
    for there in ["docs", "docs/a.md", "docs-old", ""] {
        assert!(project.holds(there), "{there}");
    }
    for absent in ["doc", "docs/a", "docs-old/x"] {
        assert!(!project.holds(absent), "{absent}");
    }
}

#[test]
fn generated_files_are_left_out() {
    let project = Project::of(&[("a.rs", "// @generated by prost\n"), ("b.rs", "//! Ours.\n")]);
    let paths: Vec<&str> = project.rust().map(|(path, _)| path).collect();
    assert_eq!(paths, ["b.rs"]);
}
