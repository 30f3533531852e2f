//! The SDK's own limits with their reasons. What the server limits is in its `connected` reply.

use std::time::Duration;

/// Messages in the outbox by default: a second of brisk publishing while the server restarts.
pub(crate) const OUTBOX_MESSAGES_DEFAULT: usize = 8 * 1024;

/// Bytes in the outbox by default: what a program can spare without noticing.
pub(crate) const OUTBOX_BYTES_DEFAULT: usize = 16 * 1024 * 1024;

/// What a message in the outbox counts for beside its text and data: the structures around it.
pub(crate) const OUTBOX_OVERHEAD_BYTES: usize = 256;

/// Commands between the handles and the task. Publishes are bounded by the outbox already, so
/// this only evens out bursts.
pub(crate) const MAILBOX_MAX: usize = 1024;

/// Deliveries of durable subscriptions in the application's hands, of all subscriptions together:
/// sixteen full windows. Each holds its place for the answer, so an answer never waits.
pub(crate) const FEEDBACK_MAX: usize = 16 * 1024;

/// Messages of a live subscription that wait for the application by default.
pub(crate) const LIVE_QUEUE_DEFAULT: usize = 1024;

/// Notices (`Subscribed`, `Reset`) that fit a durable subscription's queue beside a full window.
pub(crate) const NOTICES_MAX: usize = 16;

/// One WebSocket message of the SDK is closed at this size, so that a large backlog leaves in
/// pieces a server can answer while the next is on its way.
pub(crate) const WRITE_BYTES: usize = 64 * 1024;

/// Commands or answers taken in at once.
pub(crate) const BATCH_MAX: usize = 256;

/// WebSocket messages taken in before anything is written: enough to batch acks, few enough to
/// keep publishing alive under a flood of deliveries.
pub(crate) const BURST_MAX: usize = 64;

/// Frames other than publishes that wait to be written; at the limit no more are accepted.
pub(crate) const CONTROL_MAX: usize = 4096;

/// Offsets in one `ack` frame: keeps it far below any frame limit.
pub(crate) const ACK_OFFSETS_MAX: usize = 512;

/// Requests for history and presence without an answer; more wait.
pub(crate) const QUESTIONS_IN_FLIGHT_MAX: usize = 64;

/// Messages that a shared subscription remembers to have acked. Acks that can get lost with a
/// connection are those of one window, the last ones; the rest is for servers that are slow to
/// send again.
pub(crate) const DONE_REMEMBERED_MAX: usize = 4 * tidings_core::limits::WINDOW_MAX as usize;

/// Notices that one subscription keeps while its queue is full. They are told once, so they must
/// outlast the application's slowness; only a filter that lost its place in very many topics has
/// more than two.
pub(crate) const NOTICES_HELD_MAX: usize = 1024;

/// Topics whose last offset a subscription with wildcards remembers to recognise repeats.
pub(crate) const WILDCARD_TOPICS_MAX: usize = 1024;

/// How long one slow live subscription may keep everything else on the connection waiting.
pub(crate) const STALL_MAX: Duration = Duration::from_millis(500);

/// How often a subscription that fell behind is looked at.
pub(crate) const BEHIND_CHECK: Duration = Duration::from_millis(20);

/// How long after a reconnect the server may take to subscribe the inbox by itself, before it is
/// asked to: longer than it takes to get the cursor from another connection of the same device.
pub(crate) const INBOX_PATIENCE: Duration = Duration::from_secs(2);

/// Silence beyond the server's ping interval that counts as death; never more than the interval.
pub(crate) const PING_GRACE: Duration = Duration::from_secs(10);

/// How long a connection must have lived for the backoff to start over.
pub(crate) const STABLE_AFTER: Duration = Duration::from_secs(5);

/// How long a server that has said `goaway` may take to close.
pub(crate) const GOAWAY_PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may take from the first packet to `connected`.
pub(crate) const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// How long a close waits for the outbox and the acks by default.
pub(crate) const CLOSE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// How long the last words on a socket may take.
pub(crate) const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// How long to wait before a request that failed for now is repeated, if the server names no time.
pub(crate) const RETRY_DEFAULT: Duration = Duration::from_secs(1);

/// The first wait before coming back, before jitter, and the longest.
pub(crate) const BACKOFF_BASE: Duration = Duration::from_millis(500);
/// See [`BACKOFF_BASE`].
pub(crate) const BACKOFF_CAP: Duration = Duration::from_secs(20);

/// Buffer for reading from the socket: a client has one connection, but a program may have many
/// clients.
pub(crate) const READ_BUFFER_BYTES: usize = 16 * 1024;

/// Bytes of the answer to the request for a WebSocket that are waited for as a whole: far more than
/// any server or proxy says of itself.
pub(crate) const ANSWER_HEAD_BYTES_MAX: usize = 16 * 1024;

/// Largest WebSocket message taken from the server: a whole history reply with room for its JSON.
pub(crate) const RECEIVE_BYTES_MAX: usize = 16 * 1024 * 1024;
