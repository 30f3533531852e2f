//! Bare servers: the least that can be done for the same frames. What they reach is the limit
//! that the kernel and the disk set on this machine, and every server is measured against it.

mod fanout;
mod frames;
mod log;
mod pairs;
mod sockets;

use std::net::SocketAddr;

pub(crate) use fanout::Writing;
pub(crate) use log::{LogOptions, prewritten};

use crate::stream::ServerTls;

/// Sends every publish to every subscriber, until the process ends.
pub(crate) fn fanout(
    listen: SocketAddr,
    tls: Option<ServerTls>,
    writing: Writing,
) -> anyhow::Result<()> {
    sockets::serve(listen, tls, &mut fanout::Fanout::new(writing))
}

/// Sends every publish to the one subscriber of its topic, until the process ends.
pub(crate) fn pairs(listen: SocketAddr) -> anyhow::Result<()> {
    sockets::serve(listen, None, &mut pairs::Pairs::default())
}

/// Makes every publish durable, until the process ends.
pub(crate) fn log(listen: SocketAddr, options: &LogOptions) -> anyhow::Result<()> {
    sockets::serve(listen, None, &mut log::Log::create(options)?)
}
