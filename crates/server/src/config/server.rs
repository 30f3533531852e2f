//! `[server]` and `[tls]`: where the server listens and how it ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings_core::NodeId;

use super::text;

/// `[server]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSection {
    /// Where clients connect.
    #[serde(with = "text::address")]
    pub listen: SocketAddr,
    /// Where operators look: health, metrics, administration.
    #[serde(with = "text::address")]
    pub operator: SocketAddr,
    /// The name of this server.
    #[serde(with = "text::plain")]
    pub node: NodeId,
    /// How many event loops; 0 for one per core.
    pub shards: usize,
    /// Most connections at once.
    pub connections_max: usize,
    /// How long a graceful end may take.
    #[serde(with = "text::duration")]
    pub drain_timeout: Duration,
    /// Pages of which origins may open a WebSocket. Compared as they are.
    pub allowed_origins: Vec<String>,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
            operator: SocketAddr::from((Ipv4Addr::LOCALHOST, 8001)),
            node: NodeId::parse("n1").expect("a valid node name"),
            shards: 0,
            connections_max: 15_000,
            drain_timeout: Duration::from_secs(20),
            allowed_origins: Vec::new(),
        }
    }
}

/// `[tls]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSection {
    /// The certificate chain, PEM, leaf first.
    pub certificate_file: PathBuf,
    /// The private key of the leaf, PEM.
    pub key_file: PathBuf,
}
