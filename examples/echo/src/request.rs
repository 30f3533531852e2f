//! The upgrade request, read from a socket and answered.

use std::io::{Read, Write};

use anyhow::{Context as _, bail};
use http::{HeaderMap, HeaderName, HeaderValue};
use tidings_server::websocket::{Agreement, HandshakeError, WEBSOCKET_VERSION, accept, agree};

const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;

/// Reads a request and answers it with 101; returns what came behind it, and the compression
/// that was agreed on.
pub(crate) fn upgrade(
    socket: &mut (impl Read + Write),
) -> anyhow::Result<(Vec<u8>, Option<Agreement>)> {
    let mut input = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let bytes = socket.read(&mut chunk).context("reading the request")?;
        if bytes == 0 {
            bail!("the peer left before its request was whole");
        }
        input.extend_from_slice(&chunk[..bytes]);
        if let Some((headers, head_bytes)) = parse(&input)? {
            return answer(socket, &headers).map(|agreed| (input.split_off(head_bytes), agreed));
        }
        if input.len() > HEAD_BYTES_MAX {
            socket.write_all(b"HTTP/1.1 431 Request Header Fields Too Large\r\n\r\n")?;
            bail!("the request's head has more than {HEAD_BYTES_MAX} bytes");
        }
    }
}

/// The headers and the length of the head; `None` if it is not whole yet.
fn parse(input: &[u8]) -> anyhow::Result<Option<(HeaderMap, usize)>> {
    let mut found = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut found);
    let httparse::Status::Complete(head_bytes) = request.parse(input).context("no HTTP request")?
    else {
        return Ok(None);
    };
    if request.method != Some("GET") {
        bail!("a WebSocket is opened with GET");
    }
    let mut headers = HeaderMap::new();
    for header in request.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes())?;
        headers.append(name, HeaderValue::from_bytes(header.value)?);
    }
    Ok(Some((headers, head_bytes)))
}

fn answer(socket: &mut impl Write, headers: &HeaderMap) -> anyhow::Result<Option<Agreement>> {
    match accept(headers) {
        Ok(accept) => {
            let head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n";
            write!(socket, "{head}connection: Upgrade\r\nsec-websocket-accept: {accept}\r\n")?;
            let agreement = agree(headers);
            if let Some(agreement) = agreement {
                write!(socket, "sec-websocket-extensions: {}\r\n", agreement.header())?;
            }
            write!(socket, "\r\n")?;
            Ok(agreement)
        }
        Err(error) => {
            let status = match error {
                HandshakeError::Version => "426 Upgrade Required",
                HandshakeError::NotAnUpgrade
                | HandshakeError::Key
                | HandshakeError::Subprotocol => "400 Bad Request",
            };
            write!(
                socket,
                "HTTP/1.1 {status}\r\nsec-websocket-version: {WEBSOCKET_VERSION}\r\n\
                 connection: close\r\n\r\n{error}\n"
            )?;
            Err(error.into())
        }
    }
}
