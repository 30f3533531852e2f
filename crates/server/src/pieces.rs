//! Many writes on their way to the store: in pieces that its queue can hold.

use tidings_storage::{Outcome, StoreError, Write};

use crate::env::Env;

/// Bytes of one piece. The smallest queue that can be configured holds it, and the largest group
/// commit gains nothing from more. A broadcast of a large message to many topics is many of these,
/// and takes up no more of the queue than one.
pub(crate) const PIECE_BYTES_MAX: usize = 512 * 1024;

/// Submits `writes`, in their order, and gives the outcome of each. Most requests are one piece,
/// which is written together.
///
/// An error means that nothing was written. Once something was, what a later piece meets is the
/// outcome of its writes: each of them stands for itself.
pub(crate) async fn submit(env: &Env, writes: Vec<Write>) -> Result<Vec<Outcome>, StoreError> {
    let mut outcomes = Vec::with_capacity(writes.len());
    for piece in split(writes, PIECE_BYTES_MAX) {
        let count = piece.len();
        match env.door_lane.submit(env.store.as_ref(), piece).await {
            Ok(told) => outcomes.extend(told),
            Err(error) if outcomes.is_empty() => return Err(error),
            Err(error) => outcomes.extend(std::iter::repeat_n(Outcome::Refused(error), count)),
        }
    }
    Ok(outcomes)
}

/// Pieces of at most `bytes_max`, but for a write that is larger by itself.
fn split(writes: Vec<Write>, bytes_max: usize) -> Vec<Vec<Write>> {
    let mut pieces: Vec<Vec<Write>> = Vec::new();
    let mut room = 0;
    for write in writes {
        let bytes = bytes(&write);
        match pieces.last_mut().filter(|_| bytes <= room) {
            Some(piece) => {
                room -= bytes;
                piece.push(write);
            }
            None => {
                room = bytes_max.saturating_sub(bytes);
                pieces.push(vec![write]);
            }
        }
    }
    pieces
}

/// About what a write takes of the queue.
pub(crate) fn bytes(write: &Write) -> usize {
    /// What a record and its place in the queue take beside what the publisher gave.
    const ENVELOPE_BYTES: usize = 256;
    match write {
        Write::Publish { message, durability: _, id: _ } => {
            let headers: usize =
                message.headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
            ENVELOPE_BYTES + message.topic.as_str().len() + message.data.bytes().len() + headers
        }
        Write::SaveCursor { .. }
        | Write::DeleteCursor { .. }
        | Write::SaveSession(_)
        | Write::DeleteSession(_)
        | Write::Remove { .. } => ENVELOPE_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use tidings_core::{Data, Durability, NewMessage, Topic};

    use super::*;

    fn write(data_bytes: usize) -> Write {
        let topic = Topic::parse("t").unwrap();
        let data = Data::binary(vec![0; data_bytes].into());
        Write::Publish {
            message: NewMessage::new(topic, data),
            durability: Durability::Sync,
            id: None,
        }
    }

    #[test]
    fn pieces_are_as_large_as_allowed_and_keep_the_order() {
        let sizes = [100, 100, 100, 5000, 1, 400, 400];
        let pieces = split(sizes.into_iter().map(write).collect(), 1000);
        let counts: Vec<_> = pieces.iter().map(Vec::len).collect();
        assert_eq!(counts, [2, 1, 1, 2, 1], "257 bytes more than the data each");
        let data_bytes = |write: &Write| match write {
            Write::Publish { message, .. } => message.data.bytes().len(),
            other => panic!("{other:?}"),
        };
        let after: Vec<_> = pieces.iter().flatten().map(data_bytes).collect();
        assert_eq!(after, sizes);
        assert!(split(Vec::new(), 1000).is_empty());
    }
}
