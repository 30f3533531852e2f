/** What to do about each error. Made from docs/errors.md by scripts/errors.ts; do not edit. */

// biome-ignore format: one line for each text, as it is written.
export const ERROR_TEXTS: Readonly<Record<string, string>> = {
  bad_frame:
    "The bytes are no frame of the protocol, or no body of the HTTP interface: not JSON, not of the schema, not UTF-8, without a body or with two, with a field that is there twice. It is a fault of the client's encoder. The message names the place; nothing else of the WebSocket message is lost.",
  unknown_frame:
    "The server does not know this kind of frame. Look for a misspelling: the message names the nearest kind. Else the client is newer than the server; do without the frame.",
  unknown_field:
    "The server does not know this field, and refuses rather than ignore what you asked for. Look for a misspelling: the message names the nearest field. Else the client is newer than the server; leave the field out.",
  bad_field:
    "A field is missing, of another type, or outside its limits. The message names the field and the rule.",
  bad_topic:
    "The topic breaks a rule: it is empty, too long or too deep, has a wildcard or a control character. The message says which. To subscribe with wildcards give filter instead of topic.",
  bad_filter:
    "The filter breaks a rule of topics, or a wildcard stands where it must not: + and # stand alone in their level, and # comes last.",
  not_connected:
    "A frame came before connect. Send connect first, and the rest after connected or right behind connect. The connection is closed with 4001.",
  already_connected:
    "A second connect on one connection. To show a fresh token send refresh; to become someone else open another connection.",
  unauthenticated:
    "There is no token or key, or it is malformed, signed by someone else, or of an algorithm that the server does not allow. Get a token that the server's configuration accepts. tidings token makes one for trying out. On the operator's port: its key is missing, or it is another one.",
  token_expired:
    "The token was good and its time is over, or it is not valid yet. Get a fresh one. If that is refused as well, compare the clocks of the two machines.",
  token_revoked:
    "Somebody has ended everything that was issued to this user up to a moment: a lost phone, a \"sign out everywhere\". Only a token issued after that moment lets the user in again, so sign in anew.",
  permission_denied:
    "The token does not allow this operation on this topic. The message says which operation. Ask whoever issues the tokens for the capability.",
  origin_denied:
    "The web page that opened the WebSocket comes from an origin that is not on the server's list. Add the origin to the configuration if the page is yours. The operator's port takes pages of its own origin only.",
  session_denied:
    "The session in connect belongs to another user. Forget it and connect without one; this happens when users share a device.",
  not_found:
    "There is nothing at this address: no such route, topic, message or dead letter.",
  method_not_allowed:
    "The route exists and does not take this HTTP method. The Allow header says which ones it takes.",
  not_subscribed:
    "The connection has no such subscription, so there is nothing to unsubscribe, ack or extend. sub is the topic or filter as it was subscribed, letter by letter. After a reconnect subscribe first.",
  already_subscribed:
    "The connection has a subscription to this topic or filter already. Unsubscribe first to change how it works.",
  already_due:
    "A scheduled message was to be cancelled while the server was publishing it. It is published, or will be in a moment; tell its readers what is to be told in another message.",
  key_used:
    "A message was to be scheduled under a key that was used before, for a message that is no longer on the schedule: it was cancelled, or published, or it expired. Nothing was scheduled. The error names that message. If this is another one, schedule it under another key.",
  epoch_changed:
    "The position is of an earlier life of the topic's log, or of one that a backup replaced. Start over from the earliest message kept, and take the new epoch. If it was the operator who moved the data directory, see backups and moves.",
  offset_ahead:
    "The position lies after the last message of the topic, so it cannot come from this log. Check that the position belongs to this topic and server; then start over.",
  trimmed:
    "The messages right after the position have been removed by retention. Start over from the earliest one kept. If clients are often away for longer, raise the retention of the topic.",
  too_large:
    "The message, frame or body is larger than the server allows. Put large things into object storage and a link into the message, or raise the limit of the topic.",
  unsupported_media_type:
    "The body's Content-Type is not one that this route reads. Send application/json.",
  unsupported:
    "The server does not offer this, or not for this kind of topic: something of the protocol that is not built yet, or history of a topic that keeps none. Do without it.",
  limit_reached:
    "This connection has as many subscriptions, or requests without an answer, as it may. Temporary: wait for replies, or unsubscribe from what is not needed. limits in connected has the numbers. Over HTTP: as many streams and waiting requests are open as http.streams_max allows. Come back after Retry-After, or ask for the history without wait_ms. Of a replay of dead letters: others replay as many as limits.replays_per_second allows; try again when they are done.",
  overloaded:
    "The server has more to do than it can queue, and says so rather than let everybody wait. Temporary: nothing was kept of the request. Try again after retry_after_ms, a publish with the same key.",
  draining:
    "The server is going away. Temporary: come back after retry_after_ms; another server, or the same one restarted, will answer.",
  storage_full:
    "There is no space left for the log. Temporary: publishes are refused until there is; live subscribers and history go on. A durable or shared subscription goes on as far as its last saved cursor reserves (8 to 16 windows), and waits there, since it could not say after a crash what it had sent. One that is resumed meanwhile (a client that comes back, a first member of a group) is answered and delivers nothing until its cursor can be saved; then it goes on by itself. One under a new name is refused. Free space, or lower the retention.",
  storage_unavailable:
    "The store has stopped writing after a failed sync, since it can no longer tell what is on disk. It does not start again by itself. An operator looks at the disk and restarts the server; then publish again with the same key.",
  internal:
    "A fault of the server. Temporary: try again. If it stays, report it with the request_id or the time, which are in the server's log.",
};
