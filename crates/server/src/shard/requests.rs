//! What a client asks, and who answers it.

use tidings_core::{CloseCode, Durability, Filter, Operation, Topic};
use tidings_protocol::{
    ClientBody, ClientFrame, ErrorBody, ErrorCode, HistoryFrom, HistoryRequest, RequestId,
    ServerBody,
};
use tidings_storage::{ReadFrom, ReadLimit};

use super::connection::Phase;
use super::{HISTORY_IN_FLIGHT_MAX, Shard};
use crate::inbox::{Asker, Want};
use crate::problem::keeps_nothing;
use crate::reader::ReadJob;

/// Messages of a history reply when the client names no number.
const HISTORY_DEFAULT: u32 = 100;

impl Shard {
    /// Acts on one frame.
    pub(super) fn request(&mut self, slot: u32, frame: ClientFrame) {
        let ClientFrame { id, body } = frame;
        let Some(connection) = self.connections.get(slot as usize) else { return };
        let connected = matches!(connection.phase, Phase::Active(_));
        let body = match body {
            ClientBody::Connect(connect) => return self.connect(slot, id, connect),
            ClientBody::Ping => return self.send(slot, id, ServerBody::Pong),
            ClientBody::Pong => return,
            other if connected => other,
            ClientBody::Subscribe(_)
            | ClientBody::Unsubscribe { .. }
            | ClientBody::Publish(_)
            | ClientBody::Ack(_)
            | ClientBody::Nack(_)
            | ClientBody::Extend(_)
            | ClientBody::History(_)
            | ClientBody::Presence { .. }
            | ClientBody::Refresh { .. } => {
                let message = "the first frame must be `connect`";
                self.send_error(slot, id, ErrorBody::new(ErrorCode::NotConnected, message));
                return self.close(slot, CloseCode::BadFrame);
            }
        };
        self.connected_request(slot, id, body);
    }

    fn connected_request(&mut self, slot: u32, id: Option<RequestId>, body: ClientBody) {
        match body {
            ClientBody::Ack(ack) => self.ack(slot, id, &ack),
            ClientBody::Nack(nack) => self.nack(slot, id, nack),
            ClientBody::Extend(extend) => self.extend(slot, id, &extend),
            ClientBody::Publish(publish) => {
                if let Some(id) = self.required(slot, id, "publish") {
                    self.publish(slot, id, publish);
                }
            }
            ClientBody::Subscribe(subscribe) => {
                if let Some(id) = self.required(slot, id, "subscribe") {
                    self.subscribe(slot, id, subscribe);
                }
            }
            ClientBody::Unsubscribe { sub } => self.unsubscribe(slot, id, &sub),
            ClientBody::History(history) => {
                if let Some(id) = self.required(slot, id, "history") {
                    self.history(slot, id, &history);
                }
            }
            ClientBody::Presence { topic } => {
                if let Some(id) = self.required(slot, id, "presence") {
                    self.tell_present(slot, id, &topic);
                }
            }
            ClientBody::Refresh { token } => self.refresh(slot, id, &token),
            ClientBody::Connect(_) | ClientBody::Ping | ClientBody::Pong => {}
        }
    }

    fn required(&mut self, slot: u32, id: Option<RequestId>, frame: &str) -> Option<RequestId> {
        if id.is_none() {
            let message = format!("`{frame}` needs an `id`, so that its answer can be told");
            self.send_error(slot, None, ErrorBody::new(ErrorCode::BadField, message));
        }
        id
    }

    /// Whoever has not connected and sends what is no frame does not speak the protocol.
    pub(super) fn close_stranger(&mut self, slot: u32) {
        let Some(connection) = self.connections.get(slot as usize) else { return };
        if !matches!(connection.phase, Phase::Active(_)) {
            self.close(slot, CloseCode::BadFrame);
        }
    }

    /// Whether the connection's token allows `operation` on `topic`; answers if not.
    pub(super) fn allowed(
        &mut self,
        slot: u32,
        id: Option<RequestId>,
        operation: Operation,
        topic: &Topic,
    ) -> bool {
        let Some(active) = self.connections.get_mut(slot as usize).and_then(|c| c.active()) else {
            return false;
        };
        let allowed = active.principal.capabilities.allow(operation, topic);
        if !allowed {
            self.deny(slot, id, operation, topic.as_str());
        }
        allowed
    }

    /// The same for every topic of a filter.
    pub(super) fn allowed_all(
        &mut self,
        slot: u32,
        id: Option<RequestId>,
        operation: Operation,
        filter: &Filter,
    ) -> bool {
        let Some(active) = self.connections.get_mut(slot as usize).and_then(|c| c.active()) else {
            return false;
        };
        let allowed = active.principal.capabilities.allow_all(operation, filter);
        if !allowed {
            self.deny(slot, id, operation, filter.as_str());
        }
        allowed
    }

    fn deny(&mut self, slot: u32, id: Option<RequestId>, operation: Operation, name: &str) {
        let operation = operation.as_str();
        let reserved =
            if name.starts_with('$') { " (`#` does not cover topics in `$`)" } else { "" };
        let message = format!(
            "`{operation}` is not allowed on `{name}`: ask for a token whose `caps` have it there\
             {reserved}"
        );
        self.send_error(slot, id, ErrorBody::new(ErrorCode::PermissionDenied, message));
    }

    fn history(&mut self, slot: u32, id: RequestId, request: &HistoryRequest) {
        if !self.allowed(slot, Some(id), Operation::History, &request.topic) {
            return;
        }
        if self.env.policies.policy(&request.topic).durability == Durability::Memory {
            return self.send_error(slot, Some(id), keeps_nothing(&request.topic));
        }
        let Some(key) = self.key(slot) else { return };
        let Some(active) = self.connections.get_mut(slot as usize).and_then(|c| c.active()) else {
            return;
        };
        if active.history_in_flight >= HISTORY_IN_FLIGHT_MAX {
            let message = format!("at most {HISTORY_IN_FLIGHT_MAX} history requests at once");
            let error = ErrorBody::new(ErrorCode::LimitReached, message);
            return self.send_error(slot, Some(id), error);
        }
        active.history_in_flight += 1;
        let (from, position) = match request.from {
            HistoryFrom::First => (ReadFrom::Offset(tidings_core::Offset::FIRST), None),
            HistoryFrom::After(position) => {
                (ReadFrom::Offset(position.offset.next()), Some(position))
            }
            HistoryFrom::Since(time) => (ReadFrom::Time(time), None),
        };
        let messages = request.limit.unwrap_or(HISTORY_DEFAULT) as usize;
        self.ask_readers(ReadJob {
            inbox: std::sync::Arc::clone(&self.inbox),
            asker: Asker::Connection(key),
            want: Want::History { topic: request.topic.clone(), id, position },
            topic: request.topic.clone(),
            from,
            limit: ReadLimit {
                messages: messages.clamp(1, tidings_core::limits::READ_MESSAGES_MAX),
                bytes: self.env.settings.outbound_bytes,
            },
        });
    }
}
