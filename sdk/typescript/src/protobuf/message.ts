/** Objects with the names of the wire as Protobuf messages, and back, by the table of the schema. */

import { TidingsError } from "../errors.ts";
import { type Field, fieldsOf, isMessage, type MessageName } from "./schema.ts";
import { BYTES, type Reader, VARINT, type Writer } from "./wire.ts";

/** A message as an object: what JSON would say, but for bytes in `data`. */
export type Fields = Record<string, unknown>;

/** Writes the fields that have a value, in the order of their numbers. */
export function writeMessage(name: MessageName, value: Fields, out: Writer): void {
  for (const field of fieldsOf(name)) {
    const content = value[field.name];
    if (content !== undefined) {
      writeField(field, content, out);
    }
  }
}

function writeField(field: Field, content: unknown, out: Writer): void {
  if (!field.isRepeated) {
    writeValue(field, content, out);
    return;
  }
  if (!Array.isArray(content)) {
    throw unfit(field, "an array");
  }
  if (field.type === "uint" && content.length > 0) {
    out.tag(field.number, BYTES);
    out.nested(() => {
      for (const one of content) {
        out.varint(one);
      }
    });
    return;
  }
  for (const one of content) {
    writeValue(field, one, out);
  }
}

function writeValue(field: Field, content: unknown, out: Writer): void {
  const { number, type } = field;
  // A plain field at its default is absent on the wire; an optional one is not.
  const isWritten = field.isOptional || (content !== 0 && content !== "" && content !== false);
  if (type === "json" || type === "bytes") {
    const isBytes = content instanceof Uint8Array;
    if (isBytes !== (type === "bytes")) {
      return;
    }
    out.tag(number, BYTES);
    if (isBytes) {
      out.bytes(content);
    } else {
      out.text(JSON.stringify(content));
    }
    return;
  }
  if (type === "uint" || type === "bool") {
    if (isWritten) {
      out.tag(number, VARINT);
      out.varint(Number(content));
    }
    return;
  }
  if (type === "string") {
    if (typeof content !== "string") {
      throw unfit(field, "a text");
    }
    if (isWritten) {
      out.tag(number, BYTES);
      out.text(content);
    }
    return;
  }
  if (typeof content !== "object" || content === null) {
    throw unfit(field, "an object");
  }
  if (type === "map") {
    writeMap(number, content, out);
    return;
  }
  out.tag(number, BYTES);
  out.nested(() => writeMessage(type, { ...content }, out));
}

function writeMap(number: number, content: object, out: Writer): void {
  for (const [key, text] of Object.entries(content)) {
    out.tag(number, BYTES);
    out.nested(() => {
      out.tag(1, BYTES);
      out.text(key);
      out.tag(2, BYTES);
      out.text(String(text));
    });
  }
}

function unfit(field: Field, what: string): TidingsError {
  return new TidingsError("bad_option", `\`${field.name}\` is not ${what}`);
}

/** Reads a message; fields that the table does not know are passed over. */
export function readMessage(name: MessageName, input: Reader): Fields {
  const fields = fieldsOf(name);
  const value: Fields = {};
  while (!input.isAtEnd) {
    const { field: number, wireType } = input.tag();
    const field = fields.find((one) => one.number === number);
    if (field === undefined || !readField(field, wireType, input, value)) {
      input.skip(wireType);
    }
  }
  for (const field of fields) {
    const isDefault = field.absent === "nothing" && !field.isOptional && isZero(value[field.name]);
    if (field.absent === "default" && value[field.name] === undefined) {
      value[field.name] = emptyValue(field);
    } else if (isDefault && (field.type === "uint" || field.type === "bool")) {
      delete value[field.name];
    }
  }
  return value;
}

function isZero(value: unknown): boolean {
  return value === 0 || value === false;
}

function emptyValue(field: Field): unknown {
  if (field.isRepeated) {
    return [];
  }
  return field.type === "string" ? "" : field.type === "bool" ? false : 0;
}

/** Whether the value could be one of this field, and was read. */
function readField(field: Field, wireType: number, input: Reader, value: Fields): boolean {
  const { name, type, isRepeated } = field;
  if (type === "uint" && isRepeated) {
    const list = listOf(value, name);
    const numbers = wireType === BYTES ? input.nested() : undefined;
    if (numbers === undefined) {
      list.push(input.varint());
    }
    while (numbers !== undefined && !numbers.isAtEnd) {
      list.push(numbers.varint());
    }
    return true;
  }
  if (wireType !== (type === "uint" || type === "bool" ? VARINT : BYTES)) {
    return false;
  }
  if (type === "map") {
    const entry = readMessage("Header", input.nested());
    value[name] = {
      ...Object(value[name]),
      ...Object.fromEntries([[entry.key, entry.value]]),
    };
  } else if (isRepeated && isMessage(type)) {
    listOf(value, name).push(readMessage(type, input.nested()));
  } else {
    value[name] = readValue(field, input);
  }
  return true;
}

function listOf(value: Fields, name: string): unknown[] {
  const known = value[name];
  if (Array.isArray(known)) {
    return known;
  }
  const list: unknown[] = [];
  value[name] = list;
  return list;
}

function readValue(field: Field, input: Reader): unknown {
  const { type } = field;
  switch (type) {
    case "uint":
      return input.varint();
    case "bool":
      return input.varint() !== 0;
    case "string":
      return input.text();
    case "bytes":
      // A copy: the frame's buffer would be kept alive by a few bytes of it.
      return input.bytes().slice();
    case "json":
      return parseJson(input.text());
    case "map":
      return undefined;
    default:
      return readMessage(type, input.nested());
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new TidingsError("bad_server_frame", "the server sent data that is not JSON", { cause });
  }
}
