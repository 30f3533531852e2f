/** Whether frames are what asyncapi.json says. */

import { asyncapi } from "./documents.ts";
import { asObject, at, isObject, type Json, pointer } from "./json.ts";
import { type Form, faults } from "./schemas.ts";

/** Who sends a frame. */
export type Side = "client" | "server";

/** The messages that the document describes. */
export const messages = asObject(at(asyncapi, "components", "messages"), "messages");

/**
 * What is wrong with a frame. Of several that could be meant, that of the body's name is, as programs
 * choose it; a frame without a body that is known is none.
 */
export function frameFaults(side: Side, frame: Json, form: Form): string[] {
  if (!isObject(frame)) return ["it is no object"];
  const kinds = Object.keys(frame).filter((name) => `${side}.${name}` in messages);
  const [kind] = kinds;
  if (kind === undefined) return [`no message has a body of ${Object.keys(frame).join(", ")}`];
  const place = pointer("components", "messages", `${side}.${kind}`, "payload");
  return faults("asyncapi", place, form, frame);
}
