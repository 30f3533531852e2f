//! Where the load goes: an address, and which language is spoken there.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

use anyhow::{Context as _, bail};

/// The WebSocket path of Tidings.
const DEFAULT_PATH: &str = "/v1/ws";

/// A server to drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) dialect: Dialect,
    pub(crate) transport: Transport,
    /// `host:port` for the upgrade request.
    pub(crate) host: String,
    /// The path of the upgrade request.
    pub(crate) path: String,
}

/// The language a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// JSON frames over WebSocket.
    Tidings,
    /// RESP, as of Redis.
    Redis,
    /// The text protocol of NATS.
    Nats,
    /// MQTT 3.1.1 over TCP.
    Mqtt,
}

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Plain,
    Tls,
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(url: &str) -> anyhow::Result<Self> {
        let Some((scheme, rest)) = url.split_once("://") else {
            bail!("{url} is not a url, write for example ws://127.0.0.1:8080/v1/ws");
        };
        let (dialect, transport) = match scheme {
            "ws" => (Dialect::Tidings, Transport::Plain),
            "wss" => (Dialect::Tidings, Transport::Tls),
            "redis" => (Dialect::Redis, Transport::Plain),
            "nats" => (Dialect::Nats, Transport::Plain),
            "mqtt" => (Dialect::Mqtt, Transport::Plain),
            other => bail!("{other} is not offered, use ws, wss, redis, nats or mqtt"),
        };
        let (host, path) = rest.find('/').map_or((rest, DEFAULT_PATH), |at| rest.split_at(at));
        let address = host
            .to_socket_addrs()
            .with_context(|| format!("{host} is not an address, write host:port"))?
            .next()
            .with_context(|| format!("{host} has no address"))?;
        Ok(Self { address, dialect, transport, host: host.to_owned(), path: path.to_owned() })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dialect {
            Dialect::Tidings => {
                let scheme = match self.transport {
                    Transport::Plain => "ws",
                    Transport::Tls => "wss",
                };
                write!(f, "{scheme}://{}{}", self.host, self.path)
            }
            Dialect::Redis => write!(f, "redis://{}", self.host),
            Dialect::Nats => write!(f, "nats://{}", self.host),
            Dialect::Mqtt => write!(f, "mqtt://{}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let target: Target = "ws://127.0.0.1:8080".parse().expect("a plain url");
        assert_eq!(target.to_string(), "ws://127.0.0.1:8080/v1/ws");
        let target: Target = "ws://127.0.0.1:8080/other?x=1".parse().expect("a url with a path");
        assert_eq!((target.host.as_str(), target.path.as_str()), ("127.0.0.1:8080", "/other?x=1"));
        assert_eq!(target.transport, Transport::Plain);
        let target: Target = "wss://127.0.0.1:8443".parse().expect("a url with TLS");
        assert_eq!(target.to_string(), "wss://127.0.0.1:8443/v1/ws");
        assert_eq!((target.dialect, target.transport), (Dialect::Tidings, Transport::Tls));
        for (url, dialect) in [
            ("redis://127.0.0.1:6379", Dialect::Redis),
            ("nats://127.0.0.1:4222", Dialect::Nats),
            ("mqtt://127.0.0.1:1883", Dialect::Mqtt),
        ] {
            let target: Target = url.parse().expect(url);
            assert_eq!((target.dialect, target.to_string()), (dialect, url.to_owned()));
        }
    }

    #[test]
    fn other_urls_are_refused_with_advice() {
        for (url, advice) in [
            ("127.0.0.1:8080", "write for example ws://"),
            ("http://127.0.0.1:8080", "use ws, wss, redis, nats or mqtt"),
            ("rediss://127.0.0.1:6379", "use ws, wss, redis, nats or mqtt"),
            ("ws://127.0.0.1", "write host:port"),
        ] {
            let error = url.parse::<Target>().expect_err(url).to_string();
            assert!(error.contains(advice), "{error}");
        }
    }
}
