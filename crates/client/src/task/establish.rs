//! From nothing to a connection the server has welcomed.

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use tidings_core::SessionId;
use tidings_protocol::{
    ClientBody, ClientFrame, Connect, Connected, DecodeError, ErrorCode, ServerBody, ServerFrame,
    decode_server_frame, encode_client_frame,
};
use tokio::sync::watch;

use crate::builder::Settings;
use crate::socket::{Socket, SocketEvent};
use crate::state::{Disconnect, State};

/// A connection the server has welcomed.
#[derive(Debug)]
pub(super) struct Established {
    pub(super) socket: Socket,
    pub(super) connected: Arc<Connected>,
    /// Frames that came right behind the welcome.
    pub(super) rest: Bytes,
}

/// Gets a token, opens a socket and says who is there, in the time the settings allow.
pub(super) async fn establish(
    settings: Arc<Settings>,
    session: Option<SessionId>,
    state: watch::Sender<State>,
) -> Result<Established, Disconnect> {
    let after = settings.connect_timeout;
    let timed_out = |_| Disconnect::TimedOut { address: settings.address.to_string(), after };
    tokio::time::timeout(after, welcome(&settings, session, &state))
        .await
        .unwrap_or_else(|elapsed| Err(timed_out(elapsed)))
}

async fn welcome(
    settings: &Settings,
    session: Option<SessionId>,
    state: &watch::Sender<State>,
) -> Result<Established, Disconnect> {
    let token = settings.token.token().await?;
    let mut socket = Socket::open(&settings.address, settings.tls.as_ref(), settings.codec).await?;
    state.send_replace(State::Authenticating);
    let connect = Connect { token, client: settings.client.clone(), session };
    let id = Some(NonZeroU32::MIN);
    let frame = ClientFrame { id, body: ClientBody::Connect(connect) };
    let mut bytes = Vec::new();
    encode_client_frame(settings.codec, &frame, &mut bytes);
    socket.write(bytes).await;
    loop {
        let mut rest = match socket.event(true).await {
            SocketEvent::Flushed => continue,
            SocketEvent::Received(bytes) => bytes,
            SocketEvent::Ended(cause) => return Err(cause),
        };
        while let Some(frame) = next_frame(settings.codec, &mut rest)? {
            match frame.body {
                ServerBody::Connected(connected) => {
                    return Ok(Established { socket, connected: Arc::new(connected), rest });
                }
                ServerBody::Error(error) => return Err(Disconnect::Refused { error }),
                ServerBody::Goaway(goaway) => {
                    let (reason, retry_after) = (goaway.reason, goaway.retry_after);
                    return Err(Disconnect::Goaway { reason, retry_after });
                }
                // Nothing else has a meaning yet.
                ServerBody::Subscribed(_)
                | ServerBody::Unsubscribed { .. }
                | ServerBody::Published(_)
                | ServerBody::Scheduled(_)
                | ServerBody::Present(_)
                | ServerBody::Presence(_)
                | ServerBody::History(_)
                | ServerBody::Refreshed { .. }
                | ServerBody::Settled { .. }
                | ServerBody::Message(_)
                | ServerBody::Reset(_)
                | ServerBody::Ping
                | ServerBody::Pong => {}
            }
        }
    }
}

/// Takes the first frame off `bytes`; `None` at their end. Frames of kinds this client does not
/// know are skipped: a newer server may say more.
pub(super) fn next_frame(
    codec: tidings_protocol::Codec,
    bytes: &mut Bytes,
) -> Result<Option<ServerFrame>, Disconnect> {
    loop {
        let mut rest: &[u8] = bytes;
        let decoded = decode_server_frame(codec, &mut rest);
        let consumed = bytes.len() - rest.len();
        bytes.advance(consumed);
        match decoded {
            None => return Ok(None),
            Some(Ok(frame)) => return Ok(Some(frame)),
            Some(Err(DecodeError { body, .. })) if body.code == ErrorCode::UnknownFrame => {
                tracing::debug!(detail = body.message, "skipped a frame of an unknown kind");
            }
            // Anything else could be a message: better a new connection, which brings it again,
            // than a gap that nobody notices.
            Some(Err(error)) => return Err(Disconnect::BadFrame { detail: error.to_string() }),
        }
    }
}
