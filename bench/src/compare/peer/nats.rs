//! NATS: its core for fan-out, and JetStream that syncs before it answers for publishes.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::compare::peer::{Peer, installed};

/// What is there of NATS; adds a notice for what is not.
pub(crate) fn available(notices: &mut Vec<String>) -> Vec<Peer> {
    let Some(program) = installed("nats-server") else {
        notices.push("nats is not measured: there is no nats-server here".to_owned());
        return Vec::new();
    };
    let core = Peer::NatsCore { program: program.clone() };
    if syncs_always(&program) {
        return vec![core, Peer::JetStream { program }];
    }
    notices.push(
        "jetstream is not measured: this nats-server knows no sync_interval, so it answers before \
         a message is on the disk"
            .to_owned(),
    );
    vec![core]
}

/// Whether this version can sync before it answers: older ones refuse the setting.
fn syncs_always(program: &Path) -> bool {
    let Ok(directory) = tempfile::tempdir() else { return false };
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let Ok(mut command) = jetstream(program, listen, directory.path()) else { return false };
    let status = command.arg("-t").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

pub(crate) fn core(program: &Path, listen: SocketAddr) -> Command {
    let mut command = Command::new(program);
    command.args(["--addr", &listen.ip().to_string(), "--port", &listen.port().to_string()]);
    command
}

pub(crate) fn jetstream(
    program: &Path,
    listen: SocketAddr,
    data: &Path,
) -> anyhow::Result<Command> {
    let file = data.join("nats.conf");
    let store = data.join("jetstream");
    let text = format!(
        "listen: \"{listen}\"\njetstream {{ store_dir: {store:?}, sync_interval: always }}\n"
    );
    fs::write(&file, text).context("cannot configure nats")?;
    let mut command = Command::new(program);
    command.arg("-c").arg(file);
    Ok(command)
}
