//! The part of the text protocol of NATS that a subscriber and a publisher need, with the answers
//! of JetStream, its log.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::wire::{digits, position, split_number};

/// How long the server may take to make a stream.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said<'a> {
    /// `INFO`, `+OK`: nothing to do.
    Nothing,
    Ping,
    Pong,
    /// A message, which is all of its bytes.
    Message,
    Error(&'a [u8]),
}

/// What the server says first in `bytes` and how many bytes that takes, or `None` while it is
/// incomplete.
pub(crate) fn next(bytes: &[u8]) -> anyhow::Result<Option<(Said<'_>, usize)>> {
    let Some(line_end) = position(bytes, b"\r\n") else { return Ok(None) };
    let (line, after) = (&bytes[..line_end], line_end + 2);
    let said = match line {
        b"PING" => Said::Ping,
        b"PONG" => Said::Pong,
        b"+OK" => Said::Nothing,
        [b'-', b'E', b'R', b'R', error @ ..] => Said::Error(error),
        [b'I', b'N', b'F', b'O', ..] => Said::Nothing,
        [b'M', b'S', b'G', b' ', ..] => {
            let length = line.rsplit(|byte| *byte == b' ').next().and_then(digits);
            let length = length.and_then(|length| usize::try_from(length).ok());
            let end = length.and_then(|length| after.checked_add(length)?.checked_add(2));
            let end = end.context("a message of nats has no length")?;
            return Ok((bytes.len() >= end).then_some((Said::Message, end)));
        }
        other => bail!("nats said {}", String::from_utf8_lossy(other)),
    };
    Ok(Some((said, after)))
}

/// The levels of a topic, as NATS separates them.
pub(crate) fn subject(topic: &str) -> String {
    topic.replace('/', ".")
}

/// Where the answer to publish `id` of client `from` goes.
pub(crate) fn inbox(from: usize, id: u32) -> String {
    format!("_INBOX.bench-{from}.{id}")
}

/// What a client says first: who it is, and one subscription, to `subject` or to its own answers.
/// `PONG` comes when the server has read it all.
pub(crate) fn greeting(from: usize, subject: Option<&str>) -> String {
    let own = format!("_INBOX.bench-{from}.*");
    format!(
        "CONNECT {{\"verbose\":false,\"pedantic\":false,\"lang\":\"bench\",\"version\":\"1\",\
         \"protocol\":1}}\r\nSUB {} 1\r\nPING\r\n",
        subject.unwrap_or(&own)
    )
}

/// Appends a publish, whose answer goes to `reply`.
pub(crate) fn put_publish(out: &mut Vec<u8>, subject: &str, reply: Option<&str>, data: &[u8]) {
    let (space, reply) = reply.map_or(("", ""), |reply| (" ", reply));
    out.extend_from_slice(format!("PUB {subject}{space}{reply} {}\r\n", data.len()).as_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Which publish the message `frame` answers, and what it says.
pub(crate) fn answer(frame: &[u8]) -> anyhow::Result<(u32, &[u8])> {
    let line_end = position(frame, b"\r\n").context("a message of nats has no first line")?;
    let (line, told) = frame.split_at(line_end);
    let subject = line.split(|byte| *byte == b' ').nth(1);
    let id = subject.and_then(|it| it.rsplit(|byte| *byte == b'.').next()).and_then(digits);
    let id = id.and_then(|id| u32::try_from(id).ok());
    let id = id.with_context(|| format!("no answer: {}", String::from_utf8_lossy(line)))?;
    Ok((id, told.trim_ascii()))
}

/// The place of a message in its stream, if it was kept.
pub(crate) fn sequence(told: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"seq\":";
    let rest = told[position(told, NAME)? + NAME.len()..].trim_ascii_start();
    Some(split_number(rest)?.0)
}

/// Makes the stream that keeps `topic` and everything below, in files.
pub(crate) fn create_stream(address: SocketAddr, topic: &str) -> anyhow::Result<()> {
    let subject = subject(topic);
    let name = subject.replace('.', "-");
    let stream = json!({
        "name": name,
        "subjects": [subject, format!("{subject}.>")],
        "storage": "file",
    });
    let mut socket = TcpStream::connect(address).context("cannot connect to nats")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut request = greeting(0, None).into_bytes();
    let to = format!("$JS.API.STREAM.CREATE.{name}");
    put_publish(&mut request, &to, Some(&inbox(0, 1)), stream.to_string().as_bytes());
    socket.write_all(&request).context("cannot write to nats")?;
    let mut lines = BufReader::new(socket).lines();
    for line in &mut lines {
        let line = line.context("nats does not say whether there is a stream, is JetStream on?")?;
        if line.starts_with("-ERR") {
            bail!("nats said {line}");
        }
        if line.starts_with("MSG ") {
            break;
        }
    }
    let told = lines.next().context("nats hung up instead of making a stream")??;
    let made: Value = serde_json::from_str(&told).context("nats did not answer in JSON")?;
    match made.get("error") {
        None => Ok(()),
        Some(error) => bail!("nats makes no stream, is JetStream on? {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_is_taken_whole() {
        let all = b"INFO {\"a\":1}\r\nPONG\r\nMSG a.b 1 5\r\n\r\nMSG\r\n-ERR 'no'\r\n";
        let expected = [Said::Nothing, Said::Pong, Said::Message, Said::Error(b" 'no'")];
        let mut rest = &all[..];
        for said in expected {
            let (found, length) = next(rest).expect("known").expect("complete");
            assert_eq!(found, said);
            for cut in 0..length {
                assert_eq!(next(&rest[..cut]).expect("known"), None, "{cut} bytes of {said:?}");
            }
            rest = &rest[length..];
        }
        assert!(next(b"HTTP/1.1 400\r\n").is_err());
        assert!(next(b"MSG a 1 99999999999999999999\r\n").is_err());
    }

    #[test]
    fn answers_are_found_by_their_inbox() {
        let frame = b"MSG _INBOX.bench-3.17 1 26\r\n{\"stream\":\"b\", \"seq\": 22}\r\n";
        let (id, told) = answer(frame).expect("an answer");
        assert_eq!((id, sequence(told)), (17, Some(22)));
        let (_, told) = answer(b"MSG _INBOX.b.1 1 11\r\n{\"error\":1}\r\n").expect("an answer");
        assert_eq!(sequence(told), None);
        assert!(answer(b"MSG a.b 1 0\r\n\r\n").is_err());
        let mut out = Vec::new();
        put_publish(&mut out, &subject("a/b"), Some(&inbox(3, 17)), b"hi");
        put_publish(&mut out, "c", None, b"");
        assert_eq!(out, b"PUB a.b _INBOX.bench-3.17 2\r\nhi\r\nPUB c 0\r\n\r\n");
    }
}
