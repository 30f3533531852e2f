//! From an address to an open socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tidings_protocol::Codec;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, error::ProtocolError};

use super::whole_head::WholeHead;
use super::{Socket, Stream};
use crate::address::Address;
use crate::limits::{READ_BUFFER_BYTES, RECEIVE_BYTES_MAX, WRITE_BYTES};
use crate::state::Disconnect;
use crate::tls::TlsFault;

/// The most of an error answer that is shown.
const DETAIL_CHARS_MAX: usize = 200;

impl Socket {
    /// Opens a WebSocket at `address` that speaks `codec`; over TLS with `tls`.
    pub(crate) async fn open(
        address: &Address,
        tls: Option<&Arc<ClientConfig>>,
        codec: Codec,
    ) -> Result<Self, Disconnect> {
        let stream = connect(address, tls).await?;
        let not_tidings = |error: tungstenite::Error| Disconnect::NotTidings {
            address: address.to_string(),
            detail: error.to_string(),
        };
        let mut request = address.uri.clone().into_client_request().map_err(not_tidings)?;
        request
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(codec.subprotocol()));
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BYTES)
            .max_message_size(Some(RECEIVE_BYTES_MAX))
            .max_frame_size(Some(RECEIVE_BYTES_MAX));
        match client_async_with_config(request, stream, Some(config)).await {
            Ok((stream, _)) => Ok(Self::new(stream, codec)),
            Err(error) => Err(upgrade_failed(address, codec, error)),
        }
    }
}

async fn connect(
    address: &Address,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Box<dyn Stream>, Disconnect> {
    let unreachable = |source: io::Error| Disconnect::Unreachable {
        address: address.to_string(),
        source: Arc::new(source),
    };
    let socket =
        TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
    // Frames leave in batches of the SDK's making; waiting for more would only delay them.
    socket.set_nodelay(true).map_err(unreachable)?;
    let Some(config) = tls else {
        return Ok(Box::new(WholeHead::new(socket)));
    };
    let failed = |fault| Disconnect::Tls { address: address.to_string(), fault };
    let name = ServerName::try_from(address.host.clone()).map_err(|_| failed(TlsFault::NoName))?;
    let connector = TlsConnector::from(Arc::clone(config));
    let session = connector.connect(name, socket).await;
    let stream = session.map_err(|error| failed(TlsFault::of(error)))?;
    Ok(Box::new(WholeHead::new(stream)))
}

fn upgrade_failed(address: &Address, codec: Codec, error: tungstenite::Error) -> Disconnect {
    let hint = if address.tls { "" } else { "; perhaps it speaks TLS: use wss://" };
    let address = address.to_string();
    match error {
        tungstenite::Error::Http(response) => status(address, &response),
        tungstenite::Error::Io(source) => Disconnect::Lost { source: Some(Arc::new(source)) },
        // The answer came in very many small pieces: the link's doing, and another day's link may
        // be a better one.
        error @ tungstenite::Error::AttackAttempt => {
            Disconnect::Lost { source: Some(Arc::new(io::Error::other(error))) }
        }
        // The server may have gone away in the middle of the request, with nothing wrong about
        // the address.
        tungstenite::Error::Protocol(ProtocolError::HandshakeIncomplete) => {
            Disconnect::NoAnswer { address, hint }
        }
        tungstenite::Error::Protocol(ProtocolError::HttparseError(error)) => {
            let detail = format!("its answer is no HTTP ({error}){hint}");
            Disconnect::NotTidings { address, detail }
        }
        tungstenite::Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(_)) => {
            let detail = format!("it does not offer the subprotocol {}", codec.subprotocol());
            Disconnect::NotTidings { address, detail }
        }
        other => Disconnect::NotTidings { address, detail: other.to_string() },
    }
}

/// An answer that is no upgrade, with what it says about itself.
fn status(address: String, response: &Response) -> Disconnect {
    let retry_after = response.headers().get(header::RETRY_AFTER);
    let retry_after = retry_after
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let problem: Option<serde_json::Value> =
        response.body().as_deref().and_then(|body| serde_json::from_slice(body).ok());
    let detail = problem.as_ref().and_then(|problem| problem.get("detail")?.as_str());
    let hint = match (detail, response.status().as_u16()) {
        (Some(detail), _) => {
            format!(": {}", detail.chars().take(DETAIL_CHARS_MAX).collect::<String>())
        }
        (None, 404) => ": is the path right? it usually is /v1/ws".to_owned(),
        (None, 401 | 403) => ": the token or the origin is not accepted".to_owned(),
        (None, _) => String::new(),
    };
    Disconnect::Status { address, status: response.status().as_u16(), hint, retry_after }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_in_crumbs_is_a_bad_link_and_not_a_wrong_address() {
        let address = Address::parse("ws://127.0.0.1:1").unwrap();
        let error = upgrade_failed(&address, Codec::Json, tungstenite::Error::AttackAttempt);
        assert!(matches!(error, Disconnect::Lost { .. }), "{error}");
    }
}
