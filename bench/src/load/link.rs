//! One connection of the generator: its greeting, its bytes, and how they split into frames.

use std::io::{BufRead as _, ErrorKind, Read as _, Write as _};
use std::mem;

use anyhow::{Context as _, bail};

use crate::load::crowd::Members;
use crate::mqtt::{self, Packet};
use crate::nats::{self, Said};
use crate::resp::{self, Reply};
use crate::stream::Stream;
use crate::target::{Dialect, Target};
use crate::websocket::{self, Opcode};
use crate::wire::{self, ServerFrame};

/// What a server may leave unread of one connection before the run is given up.
const UNSENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Dialing,
    Upgrading,
    Connecting,
    Subscribing,
    Ready,
}

/// One connection. It owns no memory while nothing is partial or unsent.
#[derive(Debug)]
pub(crate) struct Link {
    stream: Stream,
    phase: Phase,
    dialect: Dialect,
    partial: Vec<u8>,
    unsent: Vec<u8>,
    /// What the server answered while this was not ready, where that is of interest.
    greeting: Vec<u8>,
    /// The server's heartbeats that were answered.
    pings: u64,
}

/// What a link needs to know of the crowd it is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) index: usize,
    pub(crate) target: &'a Target,
    pub(crate) members: &'a Members,
}

/// Takes the frames of a link that is ready, and may append answers, ready for the socket.
pub(crate) trait TakeFrame {
    /// `frame` is one JSON frame, one reply of Redis, or one message of NATS or MQTT.
    fn take(&mut self, frame: &[u8], out: &mut Vec<u8>) -> anyhow::Result<()>;
}

impl Link {
    pub(crate) const fn new(stream: Stream, dialect: Dialect) -> Self {
        Self {
            stream,
            phase: Phase::Dialing,
            dialect,
            partial: Vec::new(),
            unsent: Vec::new(),
            greeting: Vec::new(),
            pings: 0,
        }
    }

    /// How many of the server's heartbeats were answered.
    pub(crate) const fn pings(&self) -> u64 {
        self.pings
    }

    /// What the server answered to `connect` and `subscribe`, a frame a line.
    pub(crate) fn greeting(&self) -> &[u8] {
        &self.greeting
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// The socket takes bytes: the first ones once it is connected, or what was left over.
    pub(crate) fn writable(&mut self, place: Place<'_>) -> anyhow::Result<()> {
        match self.phase {
            Phase::Dialing => {
                if let Some(error) = self.stream.socket().take_error()? {
                    return Err(error).context("cannot connect");
                }
                match self.dialect {
                    Dialect::Tidings => {
                        self.phase = Phase::Upgrading;
                        let request = websocket::request(&place.target.host, &place.target.path);
                        self.write(request.as_bytes())
                    }
                    Dialect::Redis => {
                        self.phase = Phase::Connecting;
                        self.write(b"*1\r\n$4\r\nPING\r\n")
                    }
                    Dialect::Nats => {
                        self.phase = Phase::Connecting;
                        let subject = place.members.topic(place.index);
                        let subject = subject.as_deref().map(nats::subject);
                        self.write(nats::greeting(place.index, subject.as_deref()).as_bytes())
                    }
                    Dialect::Mqtt => {
                        self.phase = Phase::Connecting;
                        let mut connect = Vec::new();
                        mqtt::put_connect(&mut connect, &format!("bench-{}", place.index));
                        self.write(&connect)
                    }
                }
            }
            Phase::Upgrading | Phase::Connecting | Phase::Subscribing | Phase::Ready => {
                self.stream.push().context("cannot write")?;
                let left = mem::take(&mut self.unsent);
                self.write(&left)
            }
        }
    }

    /// Writes now what the kernel takes, and keeps the rest.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut rest = bytes;
        while self.unsent.is_empty() && !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(sent) => rest = &rest[sent..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot write"),
            }
        }
        if self.unsent.len() + rest.len() > UNSENT_BYTES_MAX {
            bail!("the server has left {UNSENT_BYTES_MAX} bytes unread, offer less");
        }
        self.unsent.extend_from_slice(rest);
        Ok(())
    }

    /// Reads until the socket is empty, in `buffer`. The poll is edge-triggered: a short read
    /// means empty, unless the peer's end is in there too.
    pub(crate) fn readable(
        &mut self,
        place: Place<'_>,
        peer_closed: bool,
        buffer: &mut [u8],
        out: &mut Vec<u8>,
        take: &mut impl TakeFrame,
    ) -> anyhow::Result<()> {
        loop {
            let held = self.partial.len();
            let read = match self.stream.read(&mut buffer[held..]) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("cannot read"),
            };
            buffer[..held].copy_from_slice(&mem::take(&mut self.partial));
            let filled = held + read;
            out.clear();
            let used = self.digest(place, &buffer[..filled], out, take)?;
            if used == 0 && filled == buffer.len() {
                bail!("the server sent a frame of more than {filled} bytes");
            }
            self.partial.extend_from_slice(&buffer[used..filled]);
            self.write(out)?;
            let is_last = filled < buffer.len() && self.stream.short_reads_are_last();
            if is_last && !peer_closed {
                return Ok(());
            }
        }
    }

    /// Takes all complete frames out of `bytes` and says how many bytes they were.
    fn digest(
        &mut self,
        place: Place<'_>,
        bytes: &[u8],
        out: &mut Vec<u8>,
        take: &mut impl TakeFrame,
    ) -> anyhow::Result<usize> {
        let mut used = 0;
        if self.phase == Phase::Upgrading {
            let Some(end) = websocket::head_end(bytes)? else { return Ok(0) };
            websocket::check_response(&bytes[..end])?;
            let connect = place.members.connect(place.index);
            websocket::put_masked_frame(out, Opcode::Text, connect.as_bytes());
            self.phase = Phase::Connecting;
            used = end;
        }
        match self.dialect {
            Dialect::Tidings => Ok(used + self.web_socket(place, &bytes[used..], out, take)?),
            Dialect::Redis => self.redis(bytes, out, take),
            Dialect::Nats => self.nats(bytes, out, take),
            Dialect::Mqtt => self.mqtt(place, bytes, out, take),
        }
    }

    fn web_socket(
        &mut self,
        place: Place<'_>,
        bytes: &[u8],
        out: &mut Vec<u8>,
        take: &mut impl TakeFrame,
    ) -> anyhow::Result<usize> {
        let mut used = 0;
        while let Some(frame) = websocket::next_frame(&bytes[used..])? {
            let payload = &bytes[used..][frame.payload.clone()];
            match frame.opcode {
                Opcode::Text => self.lines(place, payload, out, take)?,
                Opcode::Ping => {
                    websocket::put_masked_frame(out, Opcode::Pong, payload);
                    self.pings += 1;
                }
                Opcode::Pong => {}
                Opcode::Close => bail!("the server closed the connection{}", told(payload)),
            }
            used += frame.payload.end;
        }
        Ok(used)
    }

    /// A WebSocket message holds one or more frames, one per line.
    fn lines(
        &mut self,
        place: Place<'_>,
        mut payload: &[u8],
        out: &mut Vec<u8>,
        take: &mut impl TakeFrame,
    ) -> anyhow::Result<()> {
        while !payload.is_empty() {
            let all = payload;
            let length = payload.skip_until(b'\n').expect("reading from memory cannot fail");
            let line = all[..length].trim_ascii_end();
            if line.starts_with(b"{\"ping\"") {
                websocket::put_masked_frame(out, Opcode::Text, wire::PONG);
                self.pings += 1;
            } else if self.phase == Phase::Ready {
                take.take(line, out)?;
            } else if !line.is_empty() {
                self.greet(place, line, out)?;
            }
        }
        Ok(())
    }

    /// One step of the greeting: connected, then subscribed, then ready.
    fn greet(&mut self, place: Place<'_>, line: &[u8], out: &mut Vec<u8>) -> anyhow::Result<()> {
        if place.members.keep_greetings() {
            self.greeting.extend_from_slice(line);
            self.greeting.push(b'\n');
        }
        match (self.phase, wire::read_server_frame(line)?) {
            (Phase::Connecting, ServerFrame::Connected) => {
                if let Some(subscribe) = place.members.subscribe(place.index) {
                    websocket::put_masked_frame(out, Opcode::Text, subscribe.as_bytes());
                    self.phase = Phase::Subscribing;
                } else {
                    self.phase = Phase::Ready;
                }
            }
            (Phase::Subscribing, ServerFrame::Subscribed) => self.phase = Phase::Ready,
            // A message of another run that was there before the reply to `subscribe`.
            (Phase::Subscribing, ServerFrame::Message) => {}
            (phase, frame) => bail!("while {phase:?} the server answered {frame:?}"),
        }
        Ok(())
    }

    fn redis(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        take: &mut impl TakeFrame,
    ) -> anyhow::Result<usize> {
        let mut used = 0;
        while let Some((reply, length)) = resp::next_reply(&bytes[used..])? {
            if self.phase == Phase::Ready {
                take.take(&bytes[used..used + length], out)?;
            } else {
                match reply {
                    Reply::Simple => self.phase = Phase::Ready,
                    Reply::Error(_) | Reply::Bulk(_) => bail!("redis answered PING with {reply:?}"),
                }
            }
            used += length;
        }
        Ok(used)
    }
}

impl Link {
    fn nats(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        take: &mut impl TakeFrame,
    ) -> anyhow::Result<usize> {
        let mut used = 0;
        while let Some((said, length)) = nats::next(&bytes[used..])? {
            match said {
                Said::Message if self.phase == Phase::Ready => {
                    take.take(&bytes[used..used + length], out)?;
                }
                // A message of another run that was there before the answer to `PING`.
                Said::Message | Said::Nothing => {}
                Said::Ping => out.extend_from_slice(b"PONG\r\n"),
                Said::Pong => self.phase = Phase::Ready,
                Said::Error(error) => bail!("nats said {}", String::from_utf8_lossy(error)),
            }
            used += length;
        }
        Ok(used)
    }

    fn mqtt(
        &mut self,
        place: Place<'_>,
        bytes: &[u8],
        out: &mut Vec<u8>,
        take: &mut impl TakeFrame,
    ) -> anyhow::Result<usize> {
        let mut used = 0;
        while let Some((packet, length)) = mqtt::next(&bytes[used..])? {
            match (self.phase, packet) {
                (Phase::Ready, Packet::Message) => take.take(&bytes[used..used + length], out)?,
                // A message of another run that was there before the answer to `SUBSCRIBE`.
                (Phase::Subscribing, Packet::Message) => {}
                (Phase::Connecting, Packet::Connected(0)) => {
                    if let Some(topic) = place.members.topic(place.index) {
                        mqtt::put_subscribe(out, &topic);
                        self.phase = Phase::Subscribing;
                    } else {
                        self.phase = Phase::Ready;
                    }
                }
                (Phase::Subscribing, Packet::Subscribed(0..=2)) => self.phase = Phase::Ready,
                (phase, packet) => bail!("while {phase:?} the server answered {packet:?}"),
            }
            used += length;
        }
        Ok(used)
    }
}

/// What a close frame says: a code and a reason.
fn told(payload: &[u8]) -> String {
    match payload {
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            format!(" with code {code} {}", String::from_utf8_lossy(reason))
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{CertificateFiles, ClientTls, ServerTls};

    /// Reads until the socket is empty.
    fn drain(stream: &mut Stream) -> usize {
        let (mut count, mut buffer) = (0, vec![0; 65_536]);
        loop {
            match stream.read(&mut buffer) {
                Ok(read) => count += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return count,
                Err(error) => panic!("cannot read: {error}"),
            }
        }
    }

    #[test]
    fn what_tls_holds_back_leaves_when_the_kernel_takes_more() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a pair");
        let (certificate, key) = (directory.path().join("c"), directory.path().join("k"));
        std::fs::write(&certificate, pair.cert.pem()).expect("a file");
        std::fs::write(&key, pair.signing_key.serialize_pem()).expect("a file");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let url = format!("wss://{address}");
        let target: Target = url.parse().expect("a url");
        let socket = mio::net::TcpStream::connect(address).expect("it listens");
        let (peer, _) = listener.accept().expect("somebody connects");
        peer.set_nonblocking(true).expect("a socket");
        let tls = ClientTls::new(&target.host, &certificate).expect("a certificate");
        let mut link = Link::new(tls.connect(socket).expect("a name"), Dialect::Tidings);
        let files = CertificateFiles { certificate: Some(certificate), key: Some(key) };
        let tls = ServerTls::read(&files).expect("a pair").expect("files are named");
        let mut peer = tls.accept(mio::net::TcpStream::from_std(peer)).expect("a configuration");
        let (publishers, groups) = (1, Vec::new());
        let members = Members { publishers, groups, token: None, identities: Vec::new() };
        let place = Place { index: 0, target: &target, members: &members };

        link.phase = Phase::Ready;
        let (mut sent, mut received) = (0, 0);
        link.write(b"first").expect("it waits for the handshake");
        sent += 5;
        while received < sent {
            received += drain(&mut peer);
            drain(&mut link.stream);
        }
        while link.unsent.is_empty() {
            link.write(&[7; 30_000]).expect("what is too much is kept");
            sent += 30_000;
        }
        // What is kept here would push out what TLS holds; that has to leave by itself.
        sent -= mem::take(&mut link.unsent).len();
        for _ in 0..10_000 {
            received += drain(&mut peer);
            link.writable(place).expect("the peer is there");
        }
        assert_eq!(received, sent);
    }
}
