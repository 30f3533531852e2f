//! Paths of a developer's machine, which slip into documents with pasted output.

use super::project::{Breach, Project};

/// The top folders under which people keep their files. Written apart, or this file would be its
/// own first breach.
const TOP_FOLDERS: [&str; 4] = ["work", "root", "home", "Users"];

/// Absolute paths under such a folder.
pub(crate) fn breaches(project: &Project) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (path, text) in project.texts() {
        for (index, line) in text.lines().enumerate() {
            if let Some(folder) = TOP_FOLDERS.into_iter().find(|folder| has_path(line, folder)) {
                let says = format!("names a path under the folder `{folder}` of some machine");
                breaches.push(Breach::new(path, index + 1, says));
            }
        }
    }
    breaches
}

/// Whether a line has an absolute path under this folder. `rooms/home/kitchen` is none.
fn has_path(line: &str, folder: &str) -> bool {
    let path = format!("/{folder}/");
    line.match_indices(&path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && !"_-.+#*~$}>".contains(c))
    })
}

#[test]
fn absolute_paths_are_found() {
    for folder in TOP_FOLDERS {
        for line in [
            format!("/{folder}/alice/x"),
            format!("see \"/{folder}/x\""),
            format!("TMP=/{folder}/x"),
            format!("file:///{folder}/x"),
        ] {
            let project = Project::of(&[("a.md", &format!("fine\n{line}\n"))]);
            let says = format!("names a path under the folder `{folder}` of some machine");
            assert_eq!(breaches(&project), [Breach::new("a.md", 2, says)], "{line}");
        }
    }
}

#[test]
fn relative_paths_and_topics_are_fine() {
    let text = "rooms/home/kitchen $DIR/root/x +/home/# https://a.example/home/x";
    assert!(breaches(&Project::of(&[("a.md", text)])).is_empty());
}
