//! Mosquitto: MQTT over TCP with QoS 0.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::compare::peer::{Peer, installed};

/// The server, if it is there; adds a notice if not.
pub(crate) fn available(notices: &mut Vec<String>) -> Option<Peer> {
    let found = installed("mosquitto").map(|program| Peer::Mosquitto { program });
    if found.is_none() {
        notices.push("mosquitto is not measured: there is no mosquitto here".to_owned());
    }
    found
}

pub(crate) fn command(program: &Path, listen: SocketAddr, data: &Path) -> anyhow::Result<Command> {
    let file = data.join("mosquitto.conf");
    // Queues without bound, so that it drops nothing; started as root it keeps the files it has.
    let text = format!(
        "listener {} {}\nallow_anonymous true\nmax_queued_messages 0\nset_tcp_nodelay true\n\
         user root\n",
        listen.port(),
        listen.ip()
    );
    fs::write(&file, text).context("cannot configure mosquitto")?;
    let mut command = Command::new(program);
    command.arg("-c").arg(file);
    Ok(command)
}
