/**
 * The messages of proto/tidings/v1/tidings.proto as a table; a test compares the two.
 *
 * A field is `number type name`. A type with `?` is optional there. One with `~` is a plain field
 * that JSON leaves out at its default; one without is filled in. `[]` is repeated, `json` and
 * `bytes` are the two ways in which `data` is written.
 */

/** The fields of each message, by rising number. */
export const schema = {
  ClientFrame:
    "1 uint~ id;2 Publish publish;3 Ack ack;4 Nack nack;5 Extend extend;6 Connect connect;" +
    "7 Subscribe subscribe;8 Unsubscribe unsubscribe;9 HistoryRequest history;10 Refresh refresh;" +
    "11 Ping ping;12 Pong pong;13 PresenceRequest presence",
  ServerFrame:
    "1 uint~ id;2 Message message;3 Published published;4 Settled settled;5 Connected connected;" +
    "6 Subscribed subscribed;7 Unsubscribed unsubscribed;8 History history;" +
    "9 Refreshed refreshed;10 Error error;11 Reset reset;12 Goaway goaway;13 Ping ping;" +
    "14 Pong pong;15 Scheduled scheduled;16 Present present;17 Presence presence",
  Position: "1 string epoch;2 uint offset",
  Connect: "1 string? token;2 string? client;3 string? session",
  Subscribe:
    "1 string? topic;2 string? filter;3 string? durable;4 uint? window;5 string? from;" +
    "6 Position after;7 string? group;8 bool~ presence",
  Unsubscribe: "1 string sub",
  Publish:
    "1 string topic;2 json data;3 bytes data;4 string? content_type;5 map headers;6 string? key;" +
    "7 uint? ttl_ms;8 uint? deliver_at;9 string? order_key",
  Ack: "1 string sub;2 uint? offset;3 uint[] offsets;4 string? topic",
  Nack: "1 string sub;2 uint offset;3 uint? delay_ms;4 string? reason;5 bool~ dead;6 string? topic",
  Extend: "1 string sub;2 uint offset;3 uint by_ms;4 string? topic",
  HistoryRequest: "1 string topic;2 Position after;3 uint? since;4 uint? limit",
  Refresh: "1 string token",
  PresenceRequest: "1 string topic",
  Ping: "",
  Pong: "",
  Connected:
    "1 string session;2 string user;3 string client;4 string node;5 bool resumed;" +
    "6 uint ping_ms;7 uint? expires_at;8 Limits limits",
  Limits:
    "1 uint message_bytes;2 uint frame_bytes;3 uint subscriptions;4 uint window;" +
    "5 uint publishes_in_flight",
  Subscribed:
    "1 string sub;2 string? epoch;3 uint offset;4 uint first;5 bool recovered;6 string? reason;" +
    "7 uint? pending;8 string? durable",
  Unsubscribed: "1 string sub;2 string? reason",
  Published: "1 string id;2 uint offset;3 string epoch;4 bool duplicate",
  Scheduled: "1 string id;2 uint deliver_at;3 bool duplicate",
  History:
    "1 string topic;2 string epoch;3 uint offset;4 uint first;5 bool recovered;6 bool more;" +
    "7 Message[] messages",
  Refreshed: "1 uint? expires_at",
  Settled: "1 uint count",
  Error: "1 string code;2 string message;3 bool temporary;4 uint? retry_after_ms",
  Message:
    "1 string topic;2 uint offset;3 string id;4 json data;5 bytes data;6 string? content_type;" +
    "7 map headers;8 string? from;9 uint at;10 uint~ attempt;11 string? order_key;12 string? sub",
  Member: "1 string user;2 string client;3 uint since",
  Present: "1 string topic;2 Member[] members;3 uint total",
  Presence: "1 string topic;2 Member[] joined;3 Member[] left;4 bool~ reset",
  Reset: "1 string sub;2 string topic;3 string reason;4 string epoch;5 uint first;6 uint offset",
  Goaway: "1 string reason;2 uint? retry_after_ms",
  /** An entry of `map<string, string>`, as Protobuf writes them. */
  Header: "1 string key;2 string value",
} as const;

/** A message of the schema. */
export type MessageName = keyof typeof schema;

/** What a field may be. */
export type FieldType = "string" | "uint" | "bool" | "map" | "json" | "bytes" | MessageName;

/** A field of a message. */
export interface Field {
  readonly number: number;
  readonly name: string;
  readonly type: FieldType;
  /** Whether it has a value when it is absent on the wire. */
  readonly absent: "default" | "nothing";
  readonly isRepeated: boolean;
  /** Whether the schema says `optional`: then a default is written, too. */
  readonly isOptional: boolean;
}

const messageNames: ReadonlySet<string> = new Set(Object.keys(schema));

/** The fields of messages that were used, so that importing costs nothing. */
const parsed = new Map<MessageName, readonly Field[]>();

/** The fields of a message, by rising number. */
export function fieldsOf(message: MessageName): readonly Field[] {
  const known = parsed.get(message);
  if (known !== undefined) {
    return known;
  }
  const fields = schema[message].split(";").filter(Boolean).map(parse);
  parsed.set(message, fields);
  return fields;
}

function parse(text: string): Field {
  const [number = "", typeAndMark = "", name = ""] = text.split(" ");
  const type = typeAndMark.replace(/[?~[\]]+$/, "");
  const isOptional = typeAndMark.endsWith("?");
  const isRepeated = typeAndMark.endsWith("[]");
  const isPlain = type === "string" || type === "uint" || type === "bool";
  const isFilled = (isPlain && type === typeAndMark) || (isRepeated && !isPlain);
  return {
    number: Number(number),
    name,
    // The table above is the only source, and the test reads every word of it.
    type: type as FieldType,
    absent: isFilled ? "default" : "nothing",
    isRepeated,
    isOptional,
  };
}

/** Whether a field holds another message. */
export function isMessage(type: FieldType): type is MessageName {
  return messageNames.has(type);
}
