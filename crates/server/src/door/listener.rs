//! Opening a listening socket.

use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that may wait to be accepted: a whole fleet may come back at once.
const BACKLOG: i32 = 4096;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({key}): {source}")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// The configuration key that names it.
    pub key: &'static str,
    /// What the system said.
    pub source: std::io::Error,
}

/// Listens on `address`, which the configuration names under `key`.
pub(crate) fn listen(address: SocketAddr, key: &'static str) -> Result<TcpListener, ListenError> {
    open(address).map_err(|source| ListenError { address, key, source })
}

fn open(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}
