//! One connection: what comes in goes out again.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tidings_server::websocket::{
    Agreement, Assembler, CloseCode, Deflater, Incoming, Inflater, Kinds, MessageKind, Opcode,
    Terms, Violation, write_close, write_deflated_header, write_header,
};

use crate::request;

/// Largest message. Conformance suites go up to 16 MiB.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

const READ_BYTES: usize = 64 * 1024;

/// A peer that sends nothing, or takes nothing, for so long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How long a peer has to end its side after our close frame. The server waits as long.
const LINGER: Duration = Duration::from_secs(2);

/// Everything that becomes smaller is compressed, so that a suite sees it.
const COMPRESSED_BYTES_MIN: usize = 1;

/// What a connection has that agreed to compress messages.
struct Compression {
    agreement: Agreement,
    inflater: Inflater,
    deflater: Deflater,
}

/// Echoes until one side closes.
pub(crate) fn echo(mut socket: TcpStream) -> anyhow::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(SILENCE_MAX))?;
    socket.set_write_timeout(Some(SILENCE_MAX))?;
    let (mut early, agreement) = request::upgrade(&mut socket)?;
    let mut assembler = Assembler::default();
    let mut compression = agreement.map(|agreement| Compression {
        agreement,
        inflater: Inflater::default(),
        deflater: Deflater::new(COMPRESSED_BYTES_MIN),
    });
    let mut buffer = vec![0; READ_BYTES];
    let mut output = Vec::new();
    let mut end = take(&mut assembler, &mut compression, &mut early, &mut output);
    loop {
        socket.write_all(&output)?;
        output.clear();
        if end.is_some() {
            return finish(&mut socket, &mut buffer);
        }
        let bytes = socket.read(&mut buffer)?;
        if bytes == 0 {
            return Ok(());
        }
        end = take(&mut assembler, &mut compression, &mut buffer[..bytes], &mut output);
    }
}

/// Gives the answers to what came to `output`, and says whether that was the end, and why.
fn take(
    assembler: &mut Assembler,
    compression: &mut Option<Compression>,
    input: &mut [u8],
    output: &mut Vec<u8>,
) -> Option<CloseCode> {
    let mut end = None;
    let (inflater, mut deflation) = match compression {
        Some(Compression { agreement, inflater, deflater }) => {
            (Some(inflater), Some((*agreement, deflater)))
        }
        None => (None, None),
    };
    let terms = Terms { kinds: Kinds::Both, message_bytes_max: MESSAGE_BYTES_MAX, inflater };
    let taken = assembler.take(input, terms, |incoming| {
        let (opcode, payload) = match incoming {
            Incoming::Message(kind, payload) => {
                let opcode = match kind {
                    MessageKind::Text => Opcode::Text,
                    MessageKind::Binary => Opcode::Binary,
                };
                let deflated = match &mut deflation {
                    Some((agreement, deflater)) if agreement.may_deflate(payload.len()) => {
                        deflater.deflate(payload)
                    }
                    Some(_) | None => None,
                };
                if let Some(deflated) = deflated {
                    write_deflated_header(opcode, deflated.len(), output);
                    output.extend_from_slice(&deflated);
                    return ControlFlow::Continue(());
                }
                (opcode, payload)
            }
            Incoming::Ping(payload) => (Opcode::Pong, payload),
            Incoming::Pong => return ControlFlow::Continue(()),
            Incoming::Close { .. } => {
                end = Some(CloseCode::Normal);
                return ControlFlow::Break(());
            }
        };
        write_header(opcode, payload.len(), output);
        output.extend_from_slice(payload);
        ControlFlow::Continue(())
    });
    if let Err(Violation(code)) = taken {
        end = Some(code);
    }
    if let Some(code) = end {
        write_close(code, output);
    }
    end
}

/// Ends our side, and waits a little for the peer's: a socket that is dropped with unread input
/// is reset, and our close frame might be lost with it.
fn finish(socket: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<()> {
    socket.shutdown(Shutdown::Write)?;
    let due = Instant::now() + LINGER;
    while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    {
        socket.set_read_timeout(Some(left))?;
        match socket.read(buffer) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    Ok(())
}
