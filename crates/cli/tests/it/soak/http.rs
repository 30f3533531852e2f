//! HTTP requests of a soak, byte for byte: a connection each, which the server ends.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::link::Gone;

/// How long the server may take for an answer, beside what it was asked to wait.
const ANSWER: Duration = Duration::from_secs(20);

/// Sends a request. HTTP/1.0, so that the answer is not in chunks.
pub(crate) fn send(port: u16, method: &str, path: &str, more: &str) -> Result<TcpStream, Gone> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).map_err(|_| Gone)?;
    socket.set_read_timeout(Some(ANSWER)).map_err(|_| Gone)?;
    let head = format!("{method} {path} HTTP/1.0\r\nhost: 127.0.0.1\r\n{more}\r\n");
    socket.write_all(head.as_bytes()).map_err(|_| Gone)?;
    Ok(socket)
}

/// Sends a request without a body; gives the status and the whole answer.
pub(crate) fn ask(port: u16, method: &str, path: &str) -> Result<(u16, Value), Gone> {
    answer(send(port, method, path, "")?)
}

/// Reads an answer to its end. One that is cut short is none.
pub(crate) fn answer(mut socket: TcpStream) -> Result<(u16, Value), Gone> {
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).map_err(|_| Gone)?;
    let (head, body) = split_head(&bytes).ok_or(Gone)?;
    let status = status(&head).ok_or(Gone)?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    if length.is_some_and(|length| length.parse() != Ok(body.len())) {
        return Err(Gone);
    }
    if body.is_empty() {
        return Ok((status, Value::Null));
    }
    Ok((status, serde_json::from_slice(body).map_err(|_| Gone)?))
}

/// The status of an answer.
pub(crate) fn status(head: &str) -> Option<u16> {
    head.split(' ').nth(1)?.parse().ok()
}

/// The head of an answer in lower case, and what follows it, once the head is whole.
pub(crate) fn split_head(bytes: &[u8]) -> Option<(String, &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = bytes.split_at(end + 4);
    Some((String::from_utf8_lossy(head).to_lowercase(), body))
}
