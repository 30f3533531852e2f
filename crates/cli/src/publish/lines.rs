//! Lines of a file or of standard input, read ahead by a bounded amount.

use std::io::{self, BufRead, BufReader, Read};

use tidings_core::limits::MESSAGE_BYTES_MAX;
use tokio::sync::mpsc;

/// A line longer than any message can be is told instead of kept in memory.
const LINE_BYTES_MAX: usize = MESSAGE_BYTES_MAX;

/// Lines handed over at once, and their bytes: enough to keep the connection busy, little enough
/// to bound memory.
const BATCH_LINES: usize = 256;
const BATCH_BYTES: usize = 256 * 1024;

/// Batches read ahead.
const BATCHES: usize = 4;

/// Lines without their line breaks, as they become available.
#[derive(Debug)]
pub(super) struct Lines(mpsc::Receiver<io::Result<Vec<Vec<u8>>>>);

impl Lines {
    /// Reads on a thread of its own: reading a terminal or a pipe cannot be cancelled, and must
    /// not hold up the end of the program.
    pub(super) fn of(reader: impl Read + Send + 'static) -> io::Result<Self> {
        let (send, receive) = mpsc::channel(BATCHES);
        std::thread::Builder::new().name("lines".to_owned()).spawn(move || {
            let mut reader = BufReader::with_capacity(BATCH_BYTES, reader);
            loop {
                let batch = read_batch(&mut reader).transpose();
                let Some(batch) = batch else { return };
                let failed = batch.is_err();
                if send.blocking_send(batch).is_err() || failed {
                    return;
                }
            }
        })?;
        Ok(Self(receive))
    }

    /// The next lines, at least one; `None` at the end. Cancel safe.
    pub(super) async fn next(&mut self) -> io::Result<Option<Vec<Vec<u8>>>> {
        self.0.recv().await.transpose()
    }
}

/// Waits for a line, then takes what is there without waiting more.
fn read_batch(reader: &mut BufReader<impl Read>) -> io::Result<Option<Vec<Vec<u8>>>> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while let Some(line) = read_line(reader)? {
        bytes += line.len();
        batch.push(line);
        let more_is_there = reader.buffer().contains(&b'\n');
        if !more_is_there || batch.len() >= BATCH_LINES || bytes >= BATCH_BYTES {
            break;
        }
    }
    Ok((!batch.is_empty()).then_some(batch))
}

/// A line without its line break; the last one may have none.
fn read_line(reader: &mut BufReader<impl Read>) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let most = LINE_BYTES_MAX as u64 + 1;
    reader.by_ref().take(most).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > LINE_BYTES_MAX {
        let message =
            format!("a line has more than {LINE_BYTES_MAX} bytes, the most a message can have");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut reader = BufReader::new(text);
        let mut lines = Vec::new();
        while let Some(batch) = read_batch(&mut reader)? {
            assert!(batch.len() <= BATCH_LINES);
            lines.extend(batch);
        }
        Ok(lines)
    }

    #[test]
    fn every_line_comes_once() {
        for (text, expected) in [
            (&b""[..], &[][..]),
            (b"a", &[&b"a"[..]]),
            (b"a\n", &[b"a"]),
            (b"a\n\nb\r\n\xff", &[b"a", b"", b"b\r", b"\xff"]),
            (b"\n\n", &[b"", b""]),
        ] {
            assert_eq!(check(text).unwrap(), expected, "{text:?}");
        }
        assert_eq!(check(&b"x\n".repeat(1000)).unwrap().len(), 1000);
    }

    #[test]
    fn a_line_without_end_is_refused_and_not_kept() {
        let mut text = vec![b'x'; LINE_BYTES_MAX];
        assert_eq!(check(&text).unwrap().len(), 1);
        text.push(b'x');
        let error = check(&text).unwrap_err();
        assert!(error.to_string().contains("more than 4194304 bytes"), "{error}");
    }
}
