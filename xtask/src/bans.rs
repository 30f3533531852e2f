//! Banned crates, looked for in the tree that is really built. `cargo deny` does this too, but
//! not everybody has it, and a second crypto library or TLS stack must never slip in. The list is
//! the one in `deny.toml`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Fails if a banned crate is used by any crate of the workspace, on any platform, with any
/// feature of the binary.
pub(crate) fn run(root: &Path) -> Result<()> {
    let deny_toml = std::fs::read_to_string(root.join("deny.toml"))
        .context("cannot read deny.toml, which lists the banned crates")?;
    let banned = banned_crates(&deny_toml);
    if banned.is_empty() {
        bail!("deny.toml bans nothing: expected lines such as `{{ crate = \"ring\" }}`");
    }
    let output = Command::new("cargo")
        .args(["tree", "--workspace", "--all-features", "--locked", "--target", "all"])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(root)
        .output()
        .context("cannot start `cargo tree`")?;
    if !output.status.success() {
        bail!("`cargo tree` failed: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let found = used(&banned, &String::from_utf8_lossy(&output.stdout));
    if let Some(name) = found.first() {
        bail!(
            "banned crates are used: {}; see who brings one in with `cargo tree --workspace \
             --all-features --target all -i {name}` and turn that feature off",
            found.join(", ")
        );
    }
    println!("none of {} is used", banned.join(", "));
    Ok(())
}

/// The names in lines such as `{ crate = "ring", reason = "…" },` of deny.toml.
fn banned_crates(deny_toml: &str) -> Vec<String> {
    deny_toml
        .lines()
        .filter_map(|line| line.trim().strip_prefix("{ crate = \""))
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect()
}

/// Which of `banned` the tree names; its lines start with the crate's name.
fn used(banned: &[String], tree: &str) -> Vec<String> {
    banned
        .iter()
        .filter(|name| tree.lines().any(|line| line.split(' ').next() == Some(name.as_str())))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_list_of_deny_toml() {
        let text = "[bans]\ndeny = [\n    { crate = \"ring\", reason = \"one is enough\" },\n    \
                    { crate = \"native-tls\" },\n]\n# { crate = \"not-this\" }\n";
        assert_eq!(banned_crates(text), ["ring", "native-tls"]);
    }

    #[test]
    fn finds_a_banned_crate_by_its_whole_name() {
        let banned = ["ring".to_owned()];
        assert_eq!(used(&banned, "rustls v0.23.1\nring v0.17.0\n"), ["ring"]);
        assert!(used(&banned, "string v1.0.0\nring-buffer v1.0.0\n").is_empty());
    }
}
