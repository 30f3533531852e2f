//! From an HTTP request to a socket of a shard.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tidings_protocol::ErrorCode;
use tokio::net::TcpStream;

use super::{Admission, TlsSocket, patience};
use crate::env::{Env, Seat};
use crate::inbox::Letter;
use crate::problem::{HttpError, draining};
use crate::shard::{Handoff, Hidden, Stream};
use crate::websocket::{HandshakeError, Upgrade, WEBSOCKET_VERSION, check_upgrade};

/// `GET /v1/ws`.
pub(crate) async fn upgrade(State(env): State<Arc<Env>>, request: Request) -> Response {
    if request.method() != Method::GET {
        let message = "a WebSocket is opened with GET";
        return refused(ErrorCode::MethodNotAllowed, message, &[(ALLOW, "GET")]);
    }
    match check_upgrade(request.headers()) {
        Ok(upgrade) => begin(env, request, upgrade).into_response(),
        Err(error @ HandshakeError::Version) => {
            // RFC 6455 §4.4 and RFC 9110 §15.5.22.
            let headers = [
                (SEC_WEBSOCKET_VERSION, WEBSOCKET_VERSION),
                (UPGRADE, "websocket"),
                (CONNECTION, "Upgrade"),
            ];
            let mut response = refused(ErrorCode::BadFrame, &error.to_string(), &headers);
            *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
            response
        }
        Err(
            error @ (HandshakeError::NotAnUpgrade
            | HandshakeError::Key
            | HandshakeError::Subprotocol),
        ) => refused(ErrorCode::BadFrame, &error.to_string(), &[]),
    }
}

fn refused(code: ErrorCode, message: &str, headers: &[(HeaderName, &'static str)]) -> Response {
    let mut response = HttpError::new(code, message).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Answers 101 and has the socket handed over once that is out.
fn begin(env: Arc<Env>, mut request: Request, mut upgrade: Upgrade) -> Result<Response, HttpError> {
    let admission = request.extensions().get::<Admission>().cloned();
    let admission = admission.expect("the door puts it into every request");
    if admission.is_draining() {
        return Err(HttpError(draining(&env)));
    }
    if upgrade.token.is_none() && env.settings.token_in_query {
        upgrade.token = query_token(request.uri().query());
    }
    if env.settings.deflate_bytes_min.is_none() {
        upgrade.agreement = None;
    }
    let seat = admission.take_seat().ok_or_else(|| {
        HttpError::new(ErrorCode::BadFrame, "this connection has been upgraded already")
    })?;
    let upgraded = hyper::upgrade::on(&mut request);
    let response = switching(&upgrade);
    admission.spawn(hand_over(env, upgraded, upgrade, seat, admission.clone()));
    Ok(response)
}

fn switching(upgrade: &Upgrade) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let accept = HeaderValue::from_str(&upgrade.accept).expect("base64 is a header value");
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if upgrade.names_subprotocol {
        let name = HeaderValue::from_static(upgrade.codec.subprotocol());
        headers.insert(SEC_WEBSOCKET_PROTOCOL, name);
    }
    if let Some(agreement) = upgrade.agreement {
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(agreement.header()));
    }
    response
}

/// Waits until the 101 is out, then gives the bare socket to a shard.
async fn hand_over(
    env: Arc<Env>,
    upgraded: OnUpgrade,
    upgrade: Upgrade,
    seat: Seat,
    admission: Admission,
) {
    let upgraded = match upgraded.await {
        Ok(upgraded) => upgraded,
        Err(error) => return tracing::debug!(%error, "an upgrade was not completed"),
    };
    if admission.is_draining() {
        // The shard may have ended already, and would never close the socket.
        return tracing::debug!("an upgrade came too late: the server is going away");
    }
    // In a shard the heartbeat finds the dead; the kernel is to be no quicker.
    let heartbeat = &env.settings.connection;
    match take_apart(upgraded, heartbeat.ping_interval + heartbeat.pong_timeout) {
        Ok((stream, input)) => {
            let Upgrade { codec, agreement, token, .. } = upgrade;
            let token = token.map(Hidden);
            let handoff = Handoff { stream, codec, agreement, token, input, seat };
            next_inbox(&env).post(Letter::Adopt(handoff));
        }
        Err(error) => tracing::warn!(%error, "a socket could not be handed over"),
    }
}

/// The socket, its TLS state, and what has been read past the request. From here on the peer may
/// leave what it is sent untaken for `patience`.
fn take_apart(upgraded: Upgraded, patience: Duration) -> std::io::Result<(Stream, Bytes)> {
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let socket = parts.io.into_inner().into_std()?;
            patience::bound(&socket, patience);
            Ok((Stream::Plain(mio::net::TcpStream::from_std(socket)), alone(&parts.read_buf)))
        }
        Err(upgraded) => {
            let parts = upgraded
                .downcast::<TokioIo<TlsSocket>>()
                .map_err(|_| std::io::Error::other("a socket of an unknown kind"))?;
            let (socket, session) = parts.io.into_inner().into_parts();
            let socket = socket.into_std()?;
            patience::bound(&socket, patience);
            let stream = Stream::tls(mio::net::TcpStream::from_std(socket), session);
            Ok((stream, alone(&parts.read_buf)))
        }
    }
}

/// What was read, usually nothing, without the buffer of some kilobytes that it lies in: many may
/// wait for a shard.
fn alone(read: &Bytes) -> Bytes {
    Bytes::copy_from_slice(read)
}

/// Shards take turns.
fn next_inbox(env: &Env) -> &Arc<crate::inbox::Inbox> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let turn = NEXT.fetch_add(1, Ordering::Relaxed);
    &env.inboxes[turn % env.inboxes.len()]
}

/// The `token` of a query, where the configuration allows one (`auth.token_in_query`).
fn query_token(query: Option<&str>) -> Option<String> {
    let pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    let token = pairs.into_iter().find(|(name, _)| *name == "token")?.1;
    // A JWT has no character that a query would have to escape.
    Some(token.to_owned())
}
