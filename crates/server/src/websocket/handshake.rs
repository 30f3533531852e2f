//! The upgrade request and what it says (RFC 6455 §4.2).

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::{
    AUTHORIZATION, CONNECTION, HeaderMap, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use tidings_protocol::{BEARER_SUBPROTOCOL_PREFIX, Codec};

use super::extension::{Agreement, agree};

/// What a valid upgrade request asks for.
#[derive(Clone)]
pub(crate) struct Upgrade {
    /// The value for `Sec-WebSocket-Accept`.
    pub(crate) accept: String,
    /// Which codec the frames use.
    pub(crate) codec: Codec,
    /// Whether a subprotocol was asked for, so that one must be named in the answer.
    pub(crate) names_subprotocol: bool,
    /// The compression that the client's offers allow.
    pub(crate) agreement: Option<Agreement>,
    /// The token, if it came with the request.
    pub(crate) token: Option<String>,
}

/// Why a request cannot be upgraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The headers do not ask for WebSocket.
    #[error("this address speaks WebSocket: connect with a WebSocket client")]
    NotAnUpgrade,
    /// Another version than 13. The answer is 426 and names the version.
    #[error("only version {WEBSOCKET_VERSION} of WebSocket is spoken (RFC 6455)")]
    Version,
    /// The key is missing or malformed.
    #[error("Sec-WebSocket-Key must be 16 bytes in base64")]
    Key,
    /// None of the subprotocols offered is one of Tidings.
    #[error("none of the subprotocols is known: offer tidings.v1.json or tidings.v1.proto")]
    Subprotocol,
}

/// The one version there is since the RFC.
pub const WEBSOCKET_VERSION: &str = "13";

/// RFC 6455 §1.3.
const ACCEPT_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Checks the headers of an upgrade request against the RFC alone; gives the value for
/// `Sec-WebSocket-Accept`.
///
/// # Errors
///
/// The request is no upgrade to WebSocket, or not to the one version there is.
pub fn accept(headers: &HeaderMap) -> Result<String, HandshakeError> {
    if !has_word(headers, &UPGRADE, "websocket") || !has_word(headers, &CONNECTION, "upgrade") {
        return Err(HandshakeError::NotAnUpgrade);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != WEBSOCKET_VERSION) {
        return Err(HandshakeError::Version);
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or(HandshakeError::Key)?;
    if !STANDARD.decode(key.as_bytes()).is_ok_and(|bytes| bytes.len() == 16) {
        return Err(HandshakeError::Key);
    }
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key.as_bytes());
    context.update(ACCEPT_SUFFIX.as_bytes());
    Ok(STANDARD.encode(context.finish()))
}

/// Checks an upgrade request's headers, and reads from them what Tidings needs.
pub(crate) fn check_upgrade(headers: &HeaderMap) -> Result<Upgrade, HandshakeError> {
    let accept = accept(headers)?;
    let offered: Vec<_> = words(headers, &SEC_WEBSOCKET_PROTOCOL).collect();
    let codec = offered.iter().find_map(|word| Codec::from_subprotocol(word));
    let bearer = offered.iter().find_map(|word| word.strip_prefix(BEARER_SUBPROTOCOL_PREFIX));
    let others = offered.iter().any(|word| !word.starts_with(BEARER_SUBPROTOCOL_PREFIX));
    if codec.is_none() && others {
        return Err(HandshakeError::Subprotocol);
    }
    Ok(Upgrade {
        accept,
        codec: codec.unwrap_or(Codec::Json),
        names_subprotocol: codec.is_some(),
        agreement: agree(headers),
        token: bearer_header(headers).or_else(|| bearer.and_then(decode_bearer)),
    })
}

/// The token of an `Authorization: Bearer` header.
pub(crate) fn bearer_header(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

fn decode_bearer(encoded: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}

fn has_word(headers: &HeaderMap, name: &http::HeaderName, wanted: &str) -> bool {
    words(headers, name).any(|word| word.eq_ignore_ascii_case(wanted))
}

fn words<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(extra: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let base = [
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        for (name, value) in base.iter().chain(extra) {
            headers.insert(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn answers_the_key_as_the_rfc_shows() {
        let upgrade = check_upgrade(&request(&[])).ok().unwrap();
        assert_eq!(upgrade.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!((upgrade.codec, upgrade.names_subprotocol), (Codec::Json, false));
    }

    #[test]
    fn a_token_may_come_as_a_subprotocol() {
        let offered = "tidings.v1.proto, tidings.bearer.YS5iLmM";
        let upgrade = check_upgrade(&request(&[("sec-websocket-protocol", offered)])).ok().unwrap();
        assert_eq!(upgrade.codec, Codec::Protobuf);
        assert_eq!(upgrade.token.as_deref(), Some("a.b.c"));
    }

    #[test]
    fn refuses_what_is_no_upgrade() {
        for (header, value, expected) in [
            ("upgrade", "h2c", HandshakeError::NotAnUpgrade),
            ("connection", "close", HandshakeError::NotAnUpgrade),
            ("sec-websocket-version", "8", HandshakeError::Version),
            ("sec-websocket-key", "c2hvcnQ=", HandshakeError::Key),
            ("sec-websocket-protocol", "graphql-ws", HandshakeError::Subprotocol),
        ] {
            let refused = check_upgrade(&request(&[(header, value)])).err();
            assert_eq!(refused, Some(expected), "{header}: {value}");
        }
    }
}
