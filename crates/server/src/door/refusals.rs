//! Telling a socket that nobody has a place for when to come back.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// What is left to do with such a socket: one write, at most this long.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Refusals written at the same time; further sockets are closed without a word.
const AT_ONCE_MAX: usize = 64;

const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Retry-After: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Refusals that are being written.
#[derive(Debug)]
pub(crate) struct Refusals(Arc<Semaphore>);

impl Default for Refusals {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE_MAX)))
    }
}

impl Refusals {
    /// Says 503 and `Retry-After`, as one of `tasks`.
    pub(super) fn refuse(&self, mut socket: TcpStream, tasks: &TaskTracker) {
        let Ok(place) = Arc::clone(&self.0).try_acquire_owned() else { return };
        tasks.spawn(async move {
            let _ = tokio::time::timeout(TIMEOUT, async {
                socket.write_all(REFUSAL).await?;
                socket.shutdown().await?;
                // Closing with unread input would reset the connection under the answer.
                tokio::io::copy(&mut socket, &mut tokio::io::sink()).await
            })
            .await;
            drop(place);
        });
    }
}
