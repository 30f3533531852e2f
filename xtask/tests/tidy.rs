//! The house rules that no compiler checks. Each is a pure function over the text of the project
//! with its own tests, which show that it fails on a bad example; here they meet the project.
//!
//! `cargo xtask tidy` runs this file alone.

mod tidy {
    pub(crate) mod arrows;
    pub(crate) mod docs;
    pub(crate) mod features;
    pub(crate) mod links;
    pub(crate) mod names;
    pub(crate) mod paths;
    pub(crate) mod project;
    pub(crate) mod rust_text;
    pub(crate) mod size;
}

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::tidy::project::{Breach, Project};
use crate::tidy::{arrows, docs, features, links, names, paths, size};

static PROJECT: LazyLock<Project> = LazyLock::new(|| Project::read(&root()));

/// The root of the project. Asked at run time: a build folder may be shared by several checkouts,
/// and `env!` would name the one that compiled these tests.
fn root() -> PathBuf {
    let own_folder = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it for every test");
    let root = Path::new(&own_folder).parent().expect("xtask lies in a folder of the workspace");
    root.to_owned()
}

#[track_caller]
fn none(rule: &str, breaches: &[Breach]) {
    let list: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{rule}\n{}\n", list.join("\n"));
}

#[test]
fn the_project_was_found() {
    for expected in ["Cargo.toml", "xtask/tests/tidy.rs", "crates/core/src/limits.rs"] {
        assert!(PROJECT.file(expected).is_some(), "{expected} is missing from the listing");
    }
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs this test, so it can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let packages = arrows::packages(&String::from_utf8_lossy(&output.stdout));
    assert!(packages.iter().any(|package| package.name == "tidings-core"));
    none("a crate may use only the crates that DESIGN allows", &arrows::breaches(&packages));
}

#[test]
fn features_are_decided_in_the_binary_only() {
    none("cfg(feature) belongs in crates/cli", &features::breaches(&PROJECT));
}

#[test]
fn files_fit_one_idea() {
    none("split the file by idea", &size::long_files(&PROJECT));
}

#[test]
fn functions_fit_a_screen() {
    none("give the parts names of their own", &size::long_functions(&PROJECT));
}

#[test]
fn the_architecture_stays_readable() {
    none("ARCHITECTURE.md is read in one sitting", &size::long_architecture(&PROJECT));
}

#[test]
fn modules_say_what_they_are_for() {
    none("start the file with `//!`", &docs::modules_without_docs(&PROJECT));
}

#[test]
fn limits_have_reasons() {
    none("say in a doc comment why the limit is what it is", &docs::limits_without_docs(&PROJECT));
}

#[test]
fn names_say_what_a_thing_is() {
    none("name the thing after what it is or does", &names::breaches(&PROJECT));
}

#[test]
fn links_resolve() {
    none("mend the link", &links::breaches(&PROJECT));
}

#[test]
fn no_paths_of_a_machine() {
    none("paths of one machine mean nothing on another", &paths::breaches(&PROJECT));
}
