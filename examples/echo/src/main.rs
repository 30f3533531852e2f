//! Echoes WebSocket messages through the server's own WebSocket layer, so that anybody can hold
//! that layer against a conformance suite. `README.md` has the commands.
//!
//! The layer is `tidings_server::websocket`, the one the shards use; here are only a socket and a
//! thread for each connection. It is an example and a test bed, not a server for strangers.

mod connection;
mod request;

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

/// Connections at once: each has a thread and at most one message in memory.
const CONNECTIONS_MAX: usize = 256;

/// How long to wait before the next try when no connection can be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9002".to_owned());
    let listener = TcpListener::bind(&address)
        .with_context(|| format!("cannot listen on {address}: give a free ADDRESS:PORT"))?;
    println!("echoing on ws://{}", listener.local_addr()?);
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        match listener.accept() {
            Ok((socket, _)) => serve(socket, &open),
            Err(error) => {
                eprintln!("cannot accept a connection: {error}");
                thread::sleep(ACCEPT_PAUSE);
            }
        }
    }
}

/// Serves a connection on a thread of its own, which ends with the connection.
fn serve(socket: TcpStream, open: &Arc<AtomicUsize>) {
    if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
        open.fetch_sub(1, Ordering::Relaxed);
        eprintln!("refused a connection: {CONNECTIONS_MAX} are open");
        return;
    }
    let seat = Arc::clone(open);
    let started = thread::Builder::new().name("echo".to_owned()).spawn(move || {
        if let Err(error) = connection::echo(socket) {
            eprintln!("a connection ended: {error:#}");
        }
        seat.fetch_sub(1, Ordering::Relaxed);
    });
    if let Err(error) = started {
        open.fetch_sub(1, Ordering::Relaxed);
        eprintln!("cannot start a thread: {error}");
    }
}
