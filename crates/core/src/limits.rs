//! Every limit with its reason. What users may change is in the configuration and starts from
//! these figures; what they may not change is a constant of the protocol or the format.

use std::time::Duration;

/// Longest topic or filter, bytes. One length byte in records; MQTT allows 65 535, but a name is
/// stored with each message and nobody needs more.
pub const TOPIC_BYTES_MAX: usize = 255;

/// Most levels of a topic or filter: bounds the depth of the trie and of every walk over it.
pub const TOPIC_LEVELS_MAX: usize = 32;

/// Longest user, client, session or subscription name, bytes. They are parts of keys in memory.
pub const ID_BYTES_MAX: usize = 128;

/// Longest deduplication key, bytes. Long enough for a UUID with a prefix or a SHA-512 in hex.
pub const DEDUP_KEY_BYTES_MAX: usize = 128;

/// Longest order key, bytes. Like a deduplication key, it is stored with the message.
pub const ORDER_KEY_BYTES_MAX: usize = 128;

/// Largest message data by default, bytes. What chat, notifications and commands need; larger
/// things belong in object storage with a link in the message.
pub const MESSAGE_BYTES_DEFAULT: usize = 64 * 1024;

/// Largest message data that can be configured, bytes: a batch of the log must hold it.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most headers of a message, and their size in all. They travel with every delivery.
pub const HEADERS_MAX: usize = 32;
/// See [`HEADERS_MAX`].
pub const HEADERS_BYTES_MAX: usize = 4 * 1024;

/// Longest content type, bytes (RFC 6838 allows 127 + 1 + 127).
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;

/// Unacked messages of a durable subscription at once, unless it asks for another number.
pub const WINDOW_DEFAULT: u32 = 64;
/// Largest window a subscription may ask for: bounds its memory (about 40 bytes a message).
pub const WINDOW_MAX: u32 = 1024;

/// How far past the first unsettled offset a window may send when later messages were acked out
/// of order, as a multiple of the window. Bounds the set of offsets settled out of order, so one
/// message waiting for its retry holds up others only after this many.
pub const WINDOW_SPAN_FACTOR: u64 = 8;

/// How far ahead of what was sent a saved cursor reserves, as a multiple of the window. Renewed
/// when half is used up, so a fast subscriber costs a save in eight windows, and eight windows
/// may be sent while it is made; after a crash, so many messages at most say that they may have
/// been sent before when they were not.
pub const RESERVED_WINDOWS: u64 = 16;

/// How many messages of a group may be in flight, as a multiple of the sum of its members' windows.
/// What exceeds the windows is parked: it waits for an earlier message of its order key or for the
/// member its key falls to. With 4, three quarters of what is asked for may belong to busy keys
/// before messages of other keys wait too.
pub const GROUP_LOOK_AHEAD_FACTOR: u32 = 4;

/// Messages of a group in flight, however large the windows of its members are: bounds its memory
/// (about 300 bytes a message) and the size of its cursors.
pub const GROUP_IN_FLIGHT_MAX: u32 = 16_384;

/// Members of a group. Each delivery looks at all of them.
pub const GROUP_MEMBERS_MAX: usize = 256;

/// Topics of a group in which something is pending. Others cost nothing, however many there are.
pub const GROUP_TOPICS_MAX: usize = 1024;

/// Messages of a topic that a group asks for before the topic makes room for one that waits for a
/// place among those. A turn costs two saved cursors; many small turns of quick groups cost no more
/// than that, since places change hands once a second.
pub const GROUP_TURN_MESSAGES: u32 = 4;

/// How long a topic of a group waits for its last answers while it makes room for another. What holds
/// on to a message for longer must not hold up the rest of its topic.
pub const GROUP_GIVE_WAY_MAX: Duration = Duration::from_secs(30);

/// Longest time a client may ask for between nack and redelivery, or to extend a delivery.
pub const REDELIVERY_DELAY_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest reason text that a nack may carry, bytes; kept with the dead letter.
pub const REASON_BYTES_MAX: usize = 512;

/// Failed deliveries of one unsettled message that are remembered: the first ones, which tell how it
/// began, and the last ones, which tell why it is given up. A policy may allow a thousand.
pub const ATTEMPTS_FIRST_KEPT: usize = 4;
/// See [`ATTEMPTS_FIRST_KEPT`].
pub const ATTEMPTS_LAST_KEPT: usize = 12;

/// Bytes of nack reasons that are remembered of one subscription's unsettled messages: 128 of the
/// longest.
pub const ATTEMPT_REASONS_BYTES_MAX: usize = 64 * 1024;

/// Subscriptions of one connection: bounds the work of a resume and the memory of a connection.
pub const SUBSCRIPTIONS_PER_CONNECTION_MAX: usize = 256;

/// Capabilities in one token. Checked one by one on each operation.
pub const CAPABILITIES_MAX: usize = 64;

/// Largest token, bytes. A JWT with 64 capabilities fits; proxies cut headers at 8 KiB anyway.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// How far ahead a message can be scheduled: whoever needs longer keeps a calendar.
pub const SCHEDULE_AHEAD_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// How long a scheduled message waits that was refused when it was due, in a way that hardly goes
/// away: at first, and at most. Whoever changed a setting back does not wait long.
pub const SCHEDULE_RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest such wait.
pub const SCHEDULE_RETRY_MAX: Duration = Duration::from_secs(10 * 60);

/// Published scheduled messages that the schedule still knows: more than are published between a
/// commit and its answer, which may be that of a repeat.
pub const SCHEDULE_PUBLISHED_KNOWN_MAX: usize = 4096;

/// Largest `backlog_max` of a topic: for topics without a log so many messages are kept in memory
/// while somebody lags.
pub const BACKLOG_MAX: u32 = 1000;

/// Topics without a log of one shard whose newest messages are kept for those who lag.
pub const BACKLOG_TOPICS_MAX: usize = 1024;

/// Payload bytes of these messages, of one shard.
pub const BACKLOG_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Lagging topics of one filter subscription; at the limit it is reset rather than grown.
pub const LAGGING_TOPICS_MAX: usize = 1024;

/// Dead letters replayed in a second where many are, unless configured: a hundred thousand take
/// three minutes, and their subscribers have time for what is new.
pub const REPLAYS_PER_SECOND_DEFAULT: u32 = 500;

/// Messages in one history reply or one read of the log.
pub const READ_MESSAGES_MAX: usize = 500;
/// Bytes in one history reply or one read of the log: fits a reader's buffer, and no subscriber
/// waits long behind another's read.
pub const READ_BYTES_MAX: usize = 1024 * 1024;

/// Members in one reply of who is on a topic. With names of usual length it stays far below a
/// frame, and nobody reads a longer list.
pub const PRESENCE_MEMBERS_MAX: usize = 1000;

/// Messages in one HTTP batch publish, and topics of one broadcast.
pub const PUBLISH_BATCH_MAX: usize = 1000;

/// Topics of one event stream. Their positions travel with every event, and come back in one
/// header.
pub const STREAM_TOPICS_MAX: usize = 16;

/// Longest time that a history request may wait for a message. Proxies and load balancers cut off
/// an answer that is not begun after about a minute.
pub const HISTORY_WAIT_MAX: Duration = Duration::from_secs(60);

/// Spans of traces that wait to be exported, about 1 kB each: enough for a collector that restarts,
/// and a bound on what one that is gone costs. More are dropped, and counted.
pub const TRACE_SPANS_WAITING_MAX: usize = 8192;
/// Spans in one request to the collector: with the largest topics and names about 1 MB, of the 4 MiB
/// that collectors commonly take.
pub const TRACE_SPANS_PER_REQUEST_MAX: usize = 512;

/// Time from accepting a socket to its `connect` frame. Long enough for a bad mobile network,
/// short enough that silent sockets do not pile up.
pub const HANDSHAKE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// How often the server pings. Below the 30 to 60 s after which proxies close idle sockets.
pub const PING_INTERVAL_DEFAULT: Duration = Duration::from_secs(25);
/// How long after a ping the peer may stay silent before it counts as dead.
pub const PONG_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// Shortest time between two announcements of who joined and left a topic: short for people, and
/// long enough that a crowd that arrives becomes a few frames.
pub const PRESENCE_INTERVAL_MIN: Duration = Duration::from_millis(200);
/// Longest such time: with more to tell than fits, fewer names are told instead.
pub const PRESENCE_INTERVAL_MAX: Duration = Duration::from_secs(10);

/// Names sent per second in the announcements of one topic, over all who watch it: about 4 MB/s.
/// A thousand watchers of a thousand who join would otherwise be a million names at once.
pub const PRESENCE_NAMES_PER_SECOND_MAX: u64 = 50_000;

/// Names in one announcement: above it the list is cheaper to ask for.
pub const PRESENCE_EVENT_MEMBERS_MAX: usize = 256;

/// Members that may be struck off in one go when nobody came back, after a network failed for
/// many: bounds the time for which others wait.
pub const PRESENCE_EXPIRIES_AT_ONCE_MAX: usize = 4096;

/// How long a member whose connection broke is taken for present: a change of networks or a page
/// that is loaded anew takes less.
pub const PRESENCE_GRACE_DEFAULT: Duration = Duration::from_secs(5);

/// Members of one topic known by name by default. Beyond that only the total is kept.
pub const PRESENCE_MEMBERS_PER_TOPIC_DEFAULT: usize = 10_000;
/// Members of all topics of a node known by name by default.
pub const PRESENCE_MEMBERS_DEFAULT: usize = 100_000;
