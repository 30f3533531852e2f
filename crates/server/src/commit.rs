//! From the store to the shards: every commit is shared once and posted to every lane.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tidings_core::{Audience, Filter, Message, PolicyTable, Priority};
use tidings_protocol::{Codec, encode_message, encode_shared_message};
use tidings_storage::{Commit, CommitObserver, Outcome, Ticket, fault_point};

use crate::dead_letters::audience;
use crate::door_lane::DoorLane;
use crate::inbox::Inbox;
use crate::schedule::SharedSchedule;
use crate::watchers::Watchers;
use crate::websocket::{
    Agreement, Deflater, Opcode, server_payload, write_deflated_header, write_header,
};

/// A message and its first-attempt frame per codec, encoded by whichever shard needs it first and
/// shared by all.
#[derive(Debug)]
pub(crate) struct SharedMessage {
    pub(crate) message: Arc<Message>,
    frames: [OnceLock<Bytes>; Codec::ALL.len()],
    /// The same compressed; `None` where that does not pay.
    deflated: [OnceLock<Option<Bytes>>; Codec::ALL.len()],
    priority: OnceLock<Priority>,
    /// Whom it is for: one test for each who could get it.
    pub(crate) audience: Audience,
}

impl SharedMessage {
    pub(crate) fn new(message: Arc<Message>) -> Self {
        let audience = audience(&message);
        let (frames, deflated) = Default::default();
        Self { message, frames, deflated, priority: OnceLock::new(), audience }
    }

    /// What `policies` say of its topic, looked up once for all who deliver it.
    pub(crate) fn priority(&self, policies: &PolicyTable) -> Priority {
        *self.priority.get_or_init(|| policies.priority(self.message.topic()))
    }

    /// The WebSocket frame of the first delivery.
    pub(crate) fn frame(&self, codec: Codec) -> &Bytes {
        self.frames[codec.index()].get_or_init(|| {
            let mut out = Vec::with_capacity(frame_bytes_about(&self.message));
            append_message_frame(codec, &self.message, 1, &mut out);
            out.into()
        })
    }

    /// The same for who agreed to compressed messages: compressed once, or as it is where that does
    /// not pay or is not for this window.
    pub(crate) fn deflated_frame(
        &self,
        codec: Codec,
        agreement: Agreement,
        deflater: &mut Deflater,
    ) -> &Bytes {
        let plain = self.frame(codec);
        if !agreement.may_deflate(server_payload(plain).len()) {
            return plain;
        }
        let deflated = self.deflated[codec.index()].get_or_init(|| {
            let payload = deflater.deflate(server_payload(plain))?;
            let mut out = Vec::with_capacity(HEADER_BYTES_MAX + payload.len());
            write_deflated_header(opcode(codec), payload.len(), &mut out);
            out.extend_from_slice(&payload);
            Some(out.into())
        });
        deflated.as_ref().unwrap_or(plain)
    }
}

/// What a frame takes beside its data and topic: ids, place, time, names of fields.
const FRAME_BYTES: usize = 192;

/// About as much as the frame of `message` takes, if its data need no escapes.
fn frame_bytes_about(message: &Message) -> usize {
    message.content.data.bytes().len() + message.topic().as_str().len() + FRAME_BYTES
}

/// Appends a WebSocket frame that carries `message` in its delivery `attempt`.
pub(crate) fn append_message_frame(
    codec: Codec,
    message: &Message,
    attempt: u32,
    out: &mut Vec<u8>,
) {
    append_frame(codec, out, |out| encode_message(codec, message, attempt, out));
}

/// The same for one member of a group, whose subscription is `sub`.
pub(crate) fn append_member_frame(
    codec: Codec,
    message: &Message,
    attempt: u32,
    sub: &Filter,
    out: &mut Vec<u8>,
) {
    append_frame(codec, out, |out| encode_shared_message(codec, message, attempt, sub, out));
}

const fn opcode(codec: Codec) -> Opcode {
    if codec.is_text() { Opcode::Text } else { Opcode::Binary }
}

/// Longest header of a server frame.
const HEADER_BYTES_MAX: usize = 10;

/// Appends a WebSocket frame whose payload `encode` writes. The header's length depends on the
/// payload's, so the payload is written first and moved by the few bytes it left too many.
pub(crate) fn append_frame(codec: Codec, out: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES_MAX]);
    encode(out);
    let payload_bytes = out.len() - start - HEADER_BYTES_MAX;
    // Written behind the payload first: there is no other place for it that is free.
    let header_at = out.len();
    write_header(opcode(codec), payload_bytes, out);
    let payload_at = start + out.len() - header_at;
    out.copy_within(header_at.., start);
    out.copy_within(start + HEADER_BYTES_MAX..header_at, payload_at);
    out.truncate(payload_at + payload_bytes);
}

/// What a shard learns of one write.
#[derive(Debug)]
pub(crate) enum Landed {
    /// A message has its place: for fan-out, and for its publisher.
    Message(SharedMessage),
    /// Anything else: only for whoever waits.
    Other(Outcome),
}

/// One write of a commit.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) ticket: Option<Ticket>,
    pub(crate) landed: Landed,
}

/// A commit as the lanes share it.
#[derive(Debug)]
pub(crate) struct SharedCommit {
    pub(crate) entries: Vec<Entry>,
}

/// Posts every commit to every shard and to the door.
#[derive(Debug)]
pub(crate) struct CommitFanOut {
    shards: Vec<Arc<Inbox>>,
    door: Arc<DoorLane>,
    schedule: Arc<SharedSchedule>,
    watchers: Arc<Watchers>,
}

impl CommitFanOut {
    pub(crate) const fn new(
        shards: Vec<Arc<Inbox>>,
        door: Arc<DoorLane>,
        schedule: Arc<SharedSchedule>,
        watchers: Arc<Watchers>,
    ) -> Self {
        Self { shards, door, schedule, watchers }
    }
}

impl CommitObserver for CommitFanOut {
    fn committed(&self, commit: Commit) {
        // Before anybody is answered: what is confirmed as scheduled can be cancelled.
        self.schedule.committed(&commit);
        fault_point("schedule-told");
        self.door.answer(&commit);
        fault_point("door-answered");
        self.watchers.committed(&commit);
        let entries = commit.outcomes.into_iter().map(|committed| Entry {
            ticket: committed.ticket,
            landed: match committed.outcome {
                Outcome::Published(message) => Landed::Message(SharedMessage::new(message)),
                other @ (Outcome::Duplicate { .. } | Outcome::Saved | Outcome::Refused(_)) => {
                    Landed::Other(other)
                }
            },
        });
        let shared = Arc::new(SharedCommit { entries: entries.collect() });
        fault_point("watchers-told");
        for shard in &self.shards {
            shard.post_commit(&shared);
            fault_point("shard-told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_its_header_and_its_payload() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let mut out = b"before".to_vec();
            append_frame(Codec::Json, &mut out, |out| {
                out.extend(std::iter::repeat_n(b'x', length))
            });
            let mut expected = b"before".to_vec();
            write_header(Opcode::Text, length, &mut expected);
            expected.extend(std::iter::repeat_n(b'x', length));
            assert_eq!(out, expected);
        }
    }
}
