//! Where the server is: a WebSocket address, checked once.

use tokio_tungstenite::tungstenite::http::Uri;

/// The path of the native protocol, taken when the address has none.
const DEFAULT_PATH: &str = "/v1/ws";

/// Why a text is not the address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text is no URL with a host.
    #[error("`{text}` is not a URL; write it like ws://127.0.0.1:8000/v1/ws")]
    NotAUrl {
        /// The text.
        text: String,
    },
    /// The URL is of another scheme.
    #[error("the address starts with `{scheme}://`; use ws://, or wss:// for TLS")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// The URL has a user or password.
    #[error("the address has a user or password in it; give a token to the builder instead")]
    UserInfo,
}

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    pub(crate) uri: Uri,
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        let not_a_url = || AddressError::NotAUrl { text: without_secrets(text) };
        let uri: Uri = text.trim().parse().map_err(|_| not_a_url())?;
        let tls = match uri.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            Some(other) => return Err(AddressError::Scheme { scheme: other.to_owned() }),
            None => return Err(not_a_url()),
        };
        let authority = uri.authority().ok_or_else(not_a_url)?.clone();
        if authority.as_str().contains('@') {
            return Err(AddressError::UserInfo);
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(not_a_url());
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = match uri.path_and_query() {
            Some(given) if given.as_str() != "/" => given.as_str().to_owned(),
            Some(_) | None => DEFAULT_PATH.to_owned(),
        };
        let scheme = if tls { "wss" } else { "ws" };
        let uri = Uri::builder()
            .scheme(scheme)
            .authority(authority)
            .path_and_query(path)
            .build()
            .map_err(|_| not_a_url())?;
        Ok(Self { host, port, tls, uri })
    }
}

/// Without the query: some servers allow a token in it, and an address is logged.
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "wss" } else { "ws" };
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        write!(f, "{scheme}://{authority}{}", self.uri.path())
    }
}

/// The part of a text that cannot hold a password or a token.
fn without_secrets(text: &str) -> String {
    let before_query = text.split('?').next().unwrap_or_default();
    let after_user = before_query.rsplit('@').next().unwrap_or_default();
    after_user.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_what_an_address_leaves_out() {
        for (text, shown, port) in [
            ("ws://127.0.0.1:8000/v1/ws", "ws://127.0.0.1:8000/v1/ws", 8000),
            ("ws://localhost", "ws://localhost/v1/ws", 80),
            ("wss://example.org/", "wss://example.org/v1/ws", 443),
            ("wss://[::1]:9/edge?token=abc", "wss://[::1]:9/edge", 9),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.to_string().as_str(), address.port), (shown, port), "{text}");
        }
        assert_eq!(Address::parse("ws://[::1]:9").unwrap().host, "::1");
    }

    #[test]
    fn refuses_with_the_reason_and_without_secrets() {
        assert!(matches!(Address::parse("http://a"), Err(AddressError::Scheme { .. })));
        assert_eq!(Address::parse("ws://bob:pw@a"), Err(AddressError::UserInfo));
        for text in ["", "localhost:8000", "ws://", "not a url?token=abc"] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(!error.contains("abc"), "{error}");
        }
    }
}
