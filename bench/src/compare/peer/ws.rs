//! The npm package `ws` on Node.js, with as little around it as a fan-out takes.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::compare::peer::{Peer, installed};

/// Answers the same frames as the bare servers, and sends one text to all subscribers of a topic.
const PROGRAM: &str = include_str!("ws_server.js");

/// The server, if `node` is there and the package in `node_modules`; adds a notice if not. A folder
/// that was named and has no such package is an error.
pub(crate) fn available(
    node_modules: Option<&Path>,
    notices: &mut Vec<String>,
) -> anyhow::Result<Option<Peer>> {
    let Some(folder) = node_modules else {
        notices.push("ws is not measured: no --node-modules was given".to_owned());
        return Ok(None);
    };
    if !folder.join("ws").join("package.json").is_file() {
        bail!("there is no ws in {}, run `npm install ws` beside it", folder.display());
    }
    let node_modules = fs::canonicalize(folder)
        .with_context(|| format!("cannot find the folder {}", folder.display()))?;
    let Some(node) = installed("node") else {
        notices.push("ws is not measured: there is no node here".to_owned());
        return Ok(None);
    };
    Ok(Some(Peer::Ws { node, node_modules }))
}

pub(crate) fn command(
    node: &Path,
    node_modules: &Path,
    listen: SocketAddr,
    data: &Path,
) -> anyhow::Result<Command> {
    let file = data.join("ws_server.js");
    fs::write(&file, PROGRAM).context("cannot write the program for node")?;
    let mut command = Command::new(node);
    command.env("NODE_PATH", node_modules);
    command.arg(file).args([listen.ip().to_string(), listen.port().to_string()]);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_the_package_is_an_error_and_no_folder_is_a_notice() {
        let mut notices = Vec::new();
        assert_eq!(available(None, &mut notices).expect("no folder is fine"), None);
        assert_eq!(notices.len(), 1);
        let error = available(Some(Path::new("no/such")), &mut notices).expect_err("no package");
        assert!(error.to_string().contains("npm install ws"), "{error}");
    }
}
