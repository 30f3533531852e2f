//! Which crate may use which: the arrows of the architecture.

use serde_json::Value;

use super::project::Breach;

/// Each crate of ours with the crates of ours it may use. A new crate gets a line here, and with
/// it a reason to exist.
const ARROWS: [(&str, &[&str]); 12] = [
    (
        "tidings",
        &[
            "tidings-server",
            "tidings-client",
            "tidings-protocol",
            "tidings-core",
            "tidings-storage",
            "tidings-memory",
        ],
    ),
    ("tidings-memory", &[]),
    ("tidings-server", &["tidings-protocol", "tidings-storage", "tidings-core"]),
    ("tidings-client", &["tidings-protocol", "tidings-core"]),
    ("tidings-protocol", &["tidings-core"]),
    ("tidings-storage", &["tidings-core"]),
    ("tidings-sim", &["tidings-core", "tidings-storage"]),
    ("tidings-core", &[]),
    ("tidings-bench", &[]),
    // Counts instructions of functions, so it has to call them.
    ("tidings-counts", &["tidings-protocol", "tidings-storage", "tidings-core"]),
    // What a stranger would build on the server's WebSocket layer.
    ("tidings-echo", &["tidings-server"]),
    ("xtask", &[]),
];

/// The core decides and does nothing: no runtime, sockets, wire format or chance.
const BANNED_IN_CORE: [&str; 5] = ["tokio", "mio", "serde", "serde_json", "rand"];

/// A crate of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A line in a crate's list of dependencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

/// The crates of the workspace, from the output of `cargo metadata --no-deps`.
pub(crate) fn packages(metadata: &str) -> Vec<Package> {
    let metadata: Value = serde_json::from_str(metadata).expect("cargo prints JSON");
    list(&metadata, "packages")
        .iter()
        .map(|package| Package {
            name: text(package, "name"),
            dependencies: list(package, "dependencies")
                .iter()
                .map(|dependency| Dependency {
                    name: text(dependency, "name"),
                    kind: match dependency["kind"].as_str() {
                        Some("dev") => Kind::Dev,
                        Some("build") => Kind::Build,
                        Some(_) | None => Kind::Normal,
                    },
                })
                .collect(),
        })
        .collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().expect("cargo's metadata has this list")
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().expect("cargo's metadata has this text").to_owned()
}

/// Arrows that are not allowed. Tests may use any crate: `Dev` is free, except in the core.
pub(crate) fn breaches(packages: &[Package]) -> Vec<Breach> {
    packages.iter().flat_map(|package| breaches_of(package, packages)).collect()
}

fn breaches_of(package: &Package, packages: &[Package]) -> Vec<Breach> {
    let name = package.name.as_str();
    let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
        let says = "is a new crate: give it a line in ARROWS of xtask/tests/tidy/arrows.rs";
        return vec![Breach::new(name, 0, says)];
    };
    let mut breaches = Vec::new();
    for dependency in &package.dependencies {
        let to = dependency.name.as_str();
        let ours = packages.iter().any(|package| package.name == to);
        let free = match dependency.kind {
            Kind::Normal | Kind::Build => false,
            Kind::Dev => true,
        };
        if ours && !free && !allowed.contains(&to) {
            breaches.push(Breach::new(name, 0, format!("must not depend on {to}")));
        }
        if name == "tidings-core" && BANNED_IN_CORE.contains(&to) {
            breaches.push(Breach::new(name, 0, format!("must not depend on {to}: core is pure")));
        }
    }
    breaches
}

#[cfg(test)]
fn package(name: &str, dependencies: &[(&str, Kind)]) -> Package {
    let dependency = |&(name, kind): &(&str, Kind)| Dependency { name: name.to_owned(), kind };
    Package { name: name.to_owned(), dependencies: dependencies.iter().map(dependency).collect() }
}

#[test]
fn an_arrow_against_the_design_is_found() {
    let packages = [
        package("tidings-core", &[]),
        package("tidings-server", &[("tidings-core", Kind::Normal), ("tokio", Kind::Normal)]),
        package("tidings-protocol", &[("tidings-server", Kind::Normal)]),
        package("tidings-client", &[("tidings-server", Kind::Build)]),
        package("tidings-storage", &[("tidings-server", Kind::Dev)]),
    ];
    let expected = [
        Breach::new("tidings-protocol", 0, "must not depend on tidings-server"),
        Breach::new("tidings-client", 0, "must not depend on tidings-server"),
    ];
    assert_eq!(breaches(&packages), expected);
}

#[test]
fn the_core_stays_pure_in_its_tests_too() {
    for kind in [Kind::Normal, Kind::Build, Kind::Dev] {
        for banned in BANNED_IN_CORE {
            let packages = [package("tidings-core", &[("bytes", Kind::Normal), (banned, kind)])];
            let says = format!("must not depend on {banned}: core is pure");
            assert_eq!(breaches(&packages), [Breach::new("tidings-core", 0, says)]);
        }
    }
}

#[test]
fn a_crate_without_arrows_is_found() {
    assert_eq!(breaches(&[package("tidings-extra", &[])]).len(), 1);
}

#[test]
fn reads_what_cargo_prints() {
    let metadata = r#"{"packages":[{"name":"a","dependencies":[
        {"name":"b","kind":null},{"name":"c","kind":"dev"},{"name":"d","kind":"build"}]}]}"#;
    let dependencies = [("b", Kind::Normal), ("c", Kind::Dev), ("d", Kind::Build)];
    assert_eq!(packages(metadata), [package("a", &dependencies)]);
}
