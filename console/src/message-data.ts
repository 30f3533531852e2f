/** A message's data as text to read and to edit, and back. */

import type { Json } from "./api/types.ts";

/** What carries data in the server's answers. */
export interface Carrier {
  readonly data?: Json;
  readonly data_base64?: string;
}

/** How data is written in a form. */
export type DataKind = "json" | "text" | "base64";

/** Data in a form. */
export interface Draft {
  readonly kind: DataKind;
  readonly text: string;
}

/** Data on one line. */
export function previewOf(carrier: Carrier): string {
  if (carrier.data_base64 !== undefined) return `${sizeOfBase64(carrier.data_base64)} bytes`;
  if (carrier.data === undefined) return "";
  return typeof carrier.data === "string" ? carrier.data : JSON.stringify(carrier.data);
}

/** Data over as many lines as it is easy to read on. */
export function readable(carrier: Carrier): string {
  if (carrier.data_base64 !== undefined) return carrier.data_base64;
  if (carrier.data === undefined) return "";
  return typeof carrier.data === "string" ? carrier.data : JSON.stringify(carrier.data, null, 2);
}

/** Data to be edited. */
export function draftOf(carrier: Carrier): Draft {
  if (carrier.data_base64 !== undefined) return { kind: "base64", text: carrier.data_base64 };
  if (typeof carrier.data === "string") return { kind: "text", text: carrier.data };
  return {
    kind: "json",
    text: carrier.data === undefined ? "" : JSON.stringify(carrier.data, null, 2),
  };
}

/** The data of a draft. Throws with what is wrong with it. */
export function carrierOf(draft: Draft): Carrier {
  switch (draft.kind) {
    case "text":
      return { data: draft.text };
    case "base64": {
      const data_base64 = draft.text.replace(/\s+/g, "");
      if (!/^[A-Za-z0-9+/]*={0,2}$/.test(data_base64)) {
        throw new Error(
          "The data is no base64: it has characters other than A–Z, a–z, 0–9, + and /.",
        );
      }
      return { data_base64 };
    }
    case "json":
      return { data: parseJson(draft.text) };
  }
}

/** Headers written one on a line, `name=value`. Throws with the line that is none. */
export function headersOf(text: string): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const at = line.indexOf("=");
    if (at <= 0) throw new Error(`“${line.trim()}” is no header: write name=value, one on a line.`);
    headers[line.slice(0, at).trim()] = line.slice(at + 1).trim();
  }
  return headers;
}

/** Headers as `headersOf` reads them. */
export function headersText(headers: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(headers ?? {})
    .map(([name, value]) => `${name}=${value}`)
    .join("\n");
}

function parseJson(text: string): Json {
  try {
    return JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`The data is no JSON: ${why}. Choose “Text” to send it as it is.`);
  }
}

function sizeOfBase64(text: string): number {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  return Math.floor((text.length * 3) / 4) - padding;
}
