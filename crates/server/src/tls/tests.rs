//! A session against a client of rustls, over bytes in memory that come and go in any portions.

use std::collections::VecDeque;

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::*;

/// What lies between the two: the session's socket.
#[derive(Default)]
struct Pipe {
    to_session: VecDeque<u8>,
    /// What the peer will still send comes later, if this is not set.
    ended: bool,
    from_session: Vec<u8>,
    /// What the socket takes before it blocks.
    room: usize,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.to_session.read(buffer)? {
            0 if !self.ended => Err(ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.room);
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room -= count;
        self.from_session.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Pair {
    session: TlsSession,
    pipe: Pipe,
    client: ClientConnection,
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

impl Pair {
    fn strangers(version: &'static SupportedProtocolVersion) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        Self {
            session: TlsSession::new(&Arc::new(config)).unwrap(),
            pipe: Pipe { room: usize::MAX, ..Pipe::default() },
            client: ClientConnection::new(Arc::new(client), name).unwrap(),
        }
    }

    /// Both are through with the handshake, in which each byte came by itself.
    fn acquainted(version: &'static SupportedProtocolVersion) -> Self {
        let mut pair = Self::strangers(version);
        while pair.client.is_handshaking() || pair.session.is_handshaking() {
            for byte in pair.sent_by_client() {
                pair.pipe.to_session.push_back(byte);
                pair.session.shake(&mut pair.pipe).unwrap();
            }
            pair.take_at_client();
        }
        pair
    }

    fn sent_by_client(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// The records of something that the client says.
    fn said(&mut self, text: &[u8]) -> Vec<u8> {
        self.client.writer().write_all(text).unwrap();
        self.sent_by_client()
    }

    /// Shows the client what left the session, and gives what it has decrypted.
    fn take_at_client(&mut self) -> Vec<u8> {
        let sent = std::mem::take(&mut self.pipe.from_session);
        let (mut rest, mut plain) = (sent.as_slice(), Vec::new());
        while !rest.is_empty() {
            self.client.read_tls(&mut rest).unwrap();
            self.client.process_new_packets().unwrap();
            let _ = self.client.reader().read_to_end(&mut plain);
        }
        plain
    }

    fn read(&mut self, room: usize) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; room];
        let count = self.session.read(&mut self.pipe, &mut buffer)?;
        buffer.truncate(count);
        Ok(buffer)
    }

    fn answer(&mut self, text: &[u8]) {
        let written = self.session.write(&mut self.pipe, &[IoSlice::new(text)]).unwrap();
        assert_eq!(written, text.len());
    }

    #[track_caller]
    fn assert_would_block(&mut self) {
        assert_eq!(self.read(100).unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    #[track_caller]
    fn assert_holds_nothing(&self) {
        let TlsSession { incoming, decrypted, outgoing, .. } = &self.session;
        let held = [incoming, decrypted, outgoing].map(Vec::capacity);
        assert_eq!(held, [0, 0, 0], "an idle session holds no buffer");
    }
}

#[test]
fn a_record_may_be_cut_anywhere() {
    for version in VERSIONS {
        let mut pair = Pair::acquainted(version);
        pair.assert_holds_nothing();
        let mut cut = 1;
        loop {
            let record = pair.said(b"a measure");
            if cut == record.len() {
                break;
            }
            let (head, tail) = record.split_at(cut);
            pair.pipe.to_session.extend(head);
            pair.assert_would_block();
            assert!(!pair.session.may_have_more());
            pair.pipe.to_session.extend(tail);
            assert_eq!(pair.read(100).unwrap(), b"a measure");
            pair.assert_holds_nothing();
            cut += 1;
        }
    }
}

#[test]
fn something_is_written_while_a_record_has_come_in_part() {
    for version in VERSIONS {
        let mut pair = Pair::acquainted(version);
        let record = pair.said(b"question");
        pair.pipe.to_session.extend(&record[..7]);
        pair.assert_would_block();
        pair.answer(b"meanwhile");
        assert_eq!(pair.take_at_client(), b"meanwhile");
        pair.pipe.to_session.extend(&record[7..]);
        assert_eq!(pair.read(100).unwrap(), b"question");
        pair.assert_holds_nothing();
    }
}

#[test]
fn what_finds_no_place_is_given_by_the_next_read() {
    for version in VERSIONS {
        let mut pair = Pair::acquainted(version);
        let text: Vec<u8> = (0..40_000_u32).map(|n| n as u8).collect();
        let records = pair.said(&text);
        pair.pipe.to_session.extend(records);
        let mut got = Vec::new();
        while got.len() < text.len() {
            assert!(got.is_empty() || pair.session.may_have_more());
            got.extend(pair.read(999).unwrap());
            assert!(pair.session.decrypted.len() <= INCOMING_BYTES_MAX);
        }
        assert!(got == text);
        pair.assert_would_block();
        pair.assert_holds_nothing();
    }
}

#[test]
fn a_socket_that_takes_little_gets_everything_in_order() {
    for version in VERSIONS {
        let mut pair = Pair::acquainted(version);
        let text: Vec<u8> = (0..100_000_u32).map(|n| (n / 7) as u8).collect();
        let (mut accepted, mut got) = (0, Vec::new());
        for turn in 0.. {
            if got.len() == text.len() {
                break;
            }
            assert!(turn < 200, "{} bytes came of those accepted, {accepted}", got.len());
            pair.pipe.room = 1_000;
            let (first, second) = text[accepted..].split_at(text[accepted..].len().min(5_000));
            match pair.session.write(&mut pair.pipe, &[IoSlice::new(first), IoSlice::new(second)]) {
                Ok(count) => accepted += count,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            assert!(pair.session.outgoing.len() <= SEALED_BYTES_MAX + SEALING_BYTES_MAX);
            got.extend(pair.take_at_client());
        }
        assert!(got == text);
        pair.assert_holds_nothing();
    }
}

#[test]
fn keys_are_renewed_by_either_end() {
    let mut pair = Pair::acquainted(&rustls::version::TLS13);
    for _ in 0..3 {
        // It asks for new keys of the session too.
        pair.client.refresh_traffic_keys().unwrap();
        let records = pair.said(b"with new keys");
        pair.pipe.to_session.extend(records);
        assert_eq!(pair.read(100).unwrap(), b"with new keys");
        pair.answer(b"so here");
        assert_eq!(pair.take_at_client(), b"so here");
        pair.assert_holds_nothing();
    }
}

#[test]
fn a_peer_may_end_its_half_and_still_be_told() {
    for version in VERSIONS {
        let mut pair = Pair::acquainted(version);
        let mut records = pair.said(b"last words");
        pair.client.send_close_notify();
        records.extend(pair.sent_by_client());
        pair.pipe.to_session.extend(records);
        assert_eq!(pair.read(100).unwrap(), b"last words");
        assert!(pair.session.may_have_more(), "the end is not to be missed");
        assert_eq!(pair.read(100).unwrap(), b"");
        pair.answer(b"farewell");
        pair.session.finish();
        pair.session.finish();
        pair.session.push(&mut pair.pipe).unwrap();
        assert_eq!(pair.take_at_client(), b"farewell");
        assert!(pair.client.process_new_packets().unwrap().peer_has_closed());
        assert!(pair.session.write(&mut pair.pipe, &[IoSlice::new(b"x")]).is_err());
    }
}

#[test]
fn a_peer_may_end_without_a_word() {
    for version in VERSIONS {
        let mut pair = Pair::acquainted(version);
        let record = pair.said(b"cut off");
        pair.pipe.to_session.extend(&record[..5]);
        pair.pipe.ended = true;
        assert_eq!(pair.read(100).unwrap(), b"");
        pair.answer(b"farewell");
        assert_eq!(pair.take_at_client(), b"farewell");
    }
}

#[test]
fn a_changed_record_is_answered_by_an_alert_and_is_the_end() {
    for version in VERSIONS {
        let mut pair = Pair::acquainted(version);
        let mut record = pair.said(b"genuine");
        *record.last_mut().unwrap() ^= 1;
        let more = pair.said(b"behind it");
        pair.pipe.to_session.extend(record.into_iter().chain(more));
        assert_eq!(pair.read(100).unwrap_err().kind(), ErrorKind::InvalidData);
        let sent = std::mem::take(&mut pair.pipe.from_session);
        assert!(pair.read(100).is_err());
        assert!(pair.session.write(&mut pair.pipe, &[IoSlice::new(b"x")]).is_err());
        pair.session.finish();
        pair.client.read_tls(&mut sent.as_slice()).unwrap();
        let error = pair.client.process_new_packets().unwrap_err();
        let expected = rustls::AlertDescription::BadRecordMac;
        assert_eq!(error, rustls::Error::AlertReceived(expected));
    }
}

#[test]
fn a_stranger_that_does_not_speak_tls_gets_an_alert() {
    for nonsense in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), &[0; 64], &[22, 3, 1, 0xff, 0xff, 1]] {
        let mut pair = Pair::strangers(&rustls::version::TLS13);
        pair.pipe.to_session.extend(nonsense);
        let error = pair.session.shake(&mut pair.pipe).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(pair.pipe.from_session[..3], [21, 3, 3], "an alert");
    }
}

#[test]
fn a_greeting_that_does_not_end_is_given_up() {
    let mut pair = Pair::strangers(&rustls::version::TLS13);
    // A ClientHello of 65 535 bytes, in records of 1 000.
    let mut message = vec![1, 0, 0xff, 0xff];
    message.resize(65_539, 0);
    for part in message.chunks(1_000) {
        let length = (part.len() as u16).to_be_bytes();
        pair.pipe.to_session.extend([22, 3, 1].into_iter().chain(length).chain(part.to_vec()));
        if let Err(error) = pair.session.shake(&mut pair.pipe) {
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(error.to_string().contains("does not end"));
            return;
        }
        assert!(pair.session.incoming.len() <= INCOMING_BYTES_MAX);
    }
    panic!("64 KiB were kept of a stranger");
}
