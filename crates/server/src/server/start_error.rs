//! Why a server does not start.

use tidings_storage::{OpenError, StoreError};

use crate::auth::KeyError;
use crate::config::ConfigError;
use crate::door::{ListenError, TlsError};
use crate::spans::CollectorError;

/// Why a server does not start. Each says what to change.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is not one a server can run with.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key of the configuration, or the operator's, cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Spans cannot be sent to the collector that is named.
    #[error(transparent)]
    Trace(#[from] CollectorError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// What the server keeps about itself cannot be read.
    #[error("reading the server's own topics failed: {0}")]
    Read(#[from] StoreError),
    /// A thread cannot be started, or the system has no event queue for it.
    #[error("cannot start a thread of the server: {0}")]
    Thread(#[from] std::io::Error),
}
