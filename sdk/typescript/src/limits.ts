/** The SDK's own limits with their reasons. What the server limits is in its `connected`. */

/** Messages that wait to be published: an hour offline of a busy person. */
export const OUTBOX_MESSAGES_MAX = 1000;

/** Bytes of those: what a page can spare without noticing. */
export const OUTBOX_BYTES_MAX = 4 * 1024 * 1024;

/** What a message counts for beside its text: the structures around it. */
export const MESSAGE_OVERHEAD_BYTES = 256;

/** Messages of a subscription that wait for the application. */
export const QUEUE_DEFAULT = 256;

/** Unacked messages at once, unless asked for otherwise; the server's own default. */
export const WINDOW_DEFAULT = 64;

/**
 * The same for a shared subscription that acks by itself: what waits here counts against the ack
 * timeout, and goes to another member when that has passed.
 */
export const SHARED_WINDOW_DEFAULT = 16;

/** More time for a message that the server sends again while the application has not got to it. */
export const EXTENSION_MS = 5 * 60_000;

/** The largest window of the protocol. */
export const WINDOW_MAX = 1024;

/** The server never sends further ahead of a durable cursor than this many messages. */
export const LEDGER_SPAN = 8 * WINDOW_MAX;

/** Acked messages that a shared subscription remembers: acks that got lost are those of one window. */
export const DONE_REMEMBERED_MAX = 4 * WINDOW_MAX;

/** Topics whose last offset a filter with wildcards remembers to recognise repeats and gaps. */
export const WILDCARD_TOPICS_MAX = 1024;

/** Offsets in one ack: far below any limit of a frame. */
export const ACK_OFFSETS_MAX = 512;

/** How long acks wait for others to leave with. */
export const ACK_DELAY_MS = 10;

/** One WebSocket message is closed at this size, so that a backlog leaves in pieces. */
export const WRITE_BYTES = 64 * 1024;

/** Bytes on their way beyond which no more publishes are sent: pongs must not wait behind them. */
export const UNSENT_BYTES_MAX = 128 * 1024;

/** How often a socket that is full is looked at; WebSockets do not say when there is room. */
export const UNSENT_LOOK_MS = 20;

/** Requests for history and presence without an answer; more wait. */
export const QUESTIONS_IN_FLIGHT_MAX = 64;

/** Requests for history and presence that wait; more are refused. */
export const QUESTIONS_MAX = 1000;

/** Events that an application that takes no messages is not told yet; older ones are dropped. */
export const NOTICES_MAX = 256;

/** Between what a wait before coming back lies at first, and what it ends at (docs/protocol.md). */
export const BACKOFF_LEAST_MS = 50;
/** See `BACKOFF_LEAST_MS`. */
export const BACKOFF_BASE_MS = 500;
/** See `BACKOFF_LEAST_MS`. */
export const BACKOFF_MAX_MS = 20_000;

/** A connection that ended sooner was none: "at once" turns into backoff. */
export const LASTING_MS = 1000;

/** Attempts without a connection after which a person is told "offline". */
export const OFFLINE_ATTEMPTS = 3;

/** How long a connection may take to be made. */
export const CONNECT_TIMEOUT_MS = 10_000;

/** How long after its error a WebSocket may take to close: it does so in the same turn, or never. */
export const CLOSE_PATIENCE_MS = 100;

/** How long `getToken` may take: it is often a request over the same bad network. */
export const TOKEN_TIMEOUT_MS = 30_000;

/** Fresh tokens refused as expired in a row after which the clocks must differ. */
export const TOKEN_REFUSALS_MAX = 3;

/** How much before its end a token is refreshed at most. */
export const REFRESH_LEAD_MS = 5 * 60_000;

/** Silence beyond the server's ping interval after which a client asks, and the time for the answer. */
export const PING_GRACE_MS = 10_000;

/** How long a server that has said goodbye may take to close. */
export const GOAWAY_PATIENCE_MS = 10_000;

/** No timer is longer, since timers overflow after 24 days and do not notice a sleeping machine. */
export const TIMER_MAX_MS = 5 * 60_000;

/** The longest wait that `setTimeout` knows; it takes more for none at all. */
export const TIMEOUT_MAX_MS = 2 ** 31 - 1;

/** How often a client looks for what others have left: a page that is closed tells nobody. */
export const ORPHAN_LOOK_MS = 5000;

/** Without locks a message that waits for this long is taken for left over: a client that lives has sent it. */
export const ORPHAN_AGE_MS = 10_000;

/** How long storage may take to open, to be read, and to close, before the client goes on without. */
export const STORAGE_PATIENCE_MS = 5000;

/** Changes to places are kept together after this time. */
export const KEEP_DELAY_MS = 100;

/** Places that are kept: those of the topics used last. */
export const PLACES_MAX = 1000;

/** How long a close waits for what is on its way. */
export const FLUSH_MS = 2000;

/** Bytes of the reason of a nack (docs/protocol.md). */
export const REASON_BYTES_MAX = 512;
