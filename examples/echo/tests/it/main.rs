//! The echo program from the outside: what a conformance suite checks first, over a real socket.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FIN: u8 = 0x80;

/// The program on a port of its own, and a connection to it.
struct Echo {
    child: Child,
    socket: TcpStream,
}

impl Echo {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidings-echo"))
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("echoing on ws://").unwrap();
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let request = "GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
                       sec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        socket.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        Self { child, socket }
    }

    fn send(&mut self, first: u8, payload: &[u8]) {
        self.socket.write_all(&frame(first, payload)).unwrap();
    }

    /// The next frame: its first byte and payload.
    fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.socket.read_exact(&mut head).unwrap();
        let length = match head[1] {
            126 => {
                let mut bytes = [0; 2];
                self.socket.read_exact(&mut bytes).unwrap();
                u64::from(u16::from_be_bytes(bytes))
            }
            127 => {
                let mut bytes = [0; 8];
                self.socket.read_exact(&mut bytes).unwrap();
                u64::from_be_bytes(bytes)
            }
            short => u64::from(short),
        };
        let mut payload = vec![0; length as usize];
        self.socket.read_exact(&mut payload).unwrap();
        (head[0], payload)
    }

    /// The code of the close frame that must come now, and the end of the stream behind it.
    fn close_code(&mut self) -> u16 {
        let (first, payload) = self.receive();
        assert_eq!(first, FIN | CLOSE);
        let mut rest = Vec::new();
        self.socket.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "nothing comes after a close frame");
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A masked frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        middle @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

#[test]
fn messages_of_every_width_come_back() {
    let mut echo = Echo::start();
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_581, 16 << 20] {
        for opcode in [TEXT, BINARY] {
            let payload: Vec<u8> = (0..length).map(|n| b'a' + (n % 23) as u8).collect();
            echo.send(FIN | opcode, &payload);
            let (first, back) = echo.receive();
            assert!(first == FIN | opcode && back == payload, "{length} bytes, opcode {opcode}");
        }
    }
}

#[test]
fn fragments_are_joined_with_a_ping_between_in_slices_of_every_size() {
    for slice in [1, 2, 3, 5, 7, 1000] {
        let mut echo = Echo::start();
        let mut wire = frame(TEXT, "Grüße ".as_bytes());
        wire.extend(frame(FIN | PING, b"still there?"));
        wire.extend(frame(0, b""));
        wire.extend(frame(FIN, "und 🦀".as_bytes()));
        for piece in wire.chunks(slice) {
            echo.socket.write_all(piece).unwrap();
        }
        assert_eq!(echo.receive(), (FIN | PONG, b"still there?".to_vec()), "slice {slice}");
        assert_eq!(echo.receive(), (FIN | TEXT, "Grüße und 🦀".into()), "slice {slice}");
    }
}

#[test]
fn what_the_rfc_forbids_ends_with_its_code() {
    let mut unmasked = frame(FIN | TEXT, b"x");
    unmasked[1] &= 0x7f;
    let cases: [(&str, Vec<u8>, u16); 13] = [
        ("a reserved bit", frame(FIN | 0x40 | TEXT, b"x"), 1002),
        ("a reserved opcode", frame(FIN | 3, b"x"), 1002),
        ("a reserved control opcode", frame(FIN | 11, b""), 1002),
        ("an unmasked frame", unmasked, 1002),
        ("a fragmented ping", frame(PING, b""), 1002),
        ("a ping of 126 bytes", frame(FIN | PING, &[b'x'; 126]), 1002),
        ("the continuation of nothing", frame(FIN, b"x"), 1002),
        ("a text within a text", [frame(TEXT, b"a"), frame(FIN | TEXT, b"b")].concat(), 1002),
        ("a surrogate in a text", frame(FIN | TEXT, b"\xed\xa0\x80"), 1007),
        // Not the last fragment: nothing that follows could make it text.
        ("no text, known early", frame(TEXT, b"\xf4\x90"), 1007),
        ("a close of one byte", frame(FIN | CLOSE, b"x"), 1002),
        ("a close with 1005", frame(FIN | CLOSE, &1005u16.to_be_bytes()), 1002),
        ("a close", frame(FIN | CLOSE, &1001u16.to_be_bytes()), 1000),
    ];
    for (name, wire, code) in cases {
        let mut echo = Echo::start();
        echo.socket.write_all(&wire).unwrap();
        assert_eq!(echo.close_code(), code, "{name}");
    }
}
