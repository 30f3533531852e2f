/** A form that publishes a message. */

import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { ToPublish } from "../api/api.ts";
import { type ApiError, asApiError } from "../api/request.ts";
import type { Published } from "../api/types.ts";
import { carrierOf, type DataKind, headersOf } from "../message-data.ts";
import { useShared } from "../state/shared.ts";
import { DataField } from "./data-field.tsx";
import { Failure } from "./notices.tsx";
import { MessageLink } from "./small.tsx";
import { Time } from "./time.tsx";

type Outcome =
  | { readonly phase: "none" }
  | { readonly phase: "publishing" }
  | { readonly phase: "published"; readonly published: Published }
  | { readonly phase: "refused"; readonly error: ApiError };

/** Publishes to a topic. */
export function PublishForm(props: { readonly topic: string }): VNode {
  const { api, announce } = useShared();
  const [kind, setKind] = useState<DataKind>("json");
  const [text, setText] = useState('{"hello":"world"}');
  const [outcome, setOutcome] = useState<Outcome>({ phase: "none" });
  const publish = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    if (!(event.currentTarget instanceof HTMLFormElement)) return;
    const fields = new FormData(event.currentTarget);
    setOutcome({ phase: "publishing" });
    try {
      const message = messageOf(props.topic, fields, { kind, text });
      const published = await api.publish(message);
      setOutcome({ phase: "published", published });
      announce(published.deliver_at === undefined ? "Published." : "Scheduled.");
    } catch (error) {
      setOutcome({ phase: "refused", error: asApiError(error) });
    }
  };
  return (
    <form class="stack" onSubmit={(event) => void publish(event)}>
      <DataField kind={kind} text={text} setKind={setKind} setText={setText} />
      <details>
        <summary>Key, headers, order key, time to live, later</summary>
        <MoreFields />
      </details>
      <div class="buttons start">
        <button type="submit" class="main" disabled={outcome.phase === "publishing"}>
          Publish
        </button>
      </div>
      {outcome.phase === "refused" && <Failure error={outcome.error} />}
      {outcome.phase === "published" && <Result published={outcome.published} />}
    </form>
  );
}

function MoreFields(): VNode {
  return (
    <div class="fields">
      <label>
        <span>Key, which makes a repeat recognisable</span>
        <input name="key" autocomplete="off" maxLength={128} />
      </label>
      <label>
        <span>Order key</span>
        <input name="order_key" autocomplete="off" />
      </label>
      <label>
        <span>Content type</span>
        <input name="content_type" autocomplete="off" placeholder="application/json" />
      </label>
      <label>
        <span>Time to live, in seconds</span>
        <input name="ttl" type="number" min="0.001" step="any" />
      </label>
      <label>
        <span>Publish it at this time</span>
        <input name="deliver_at" type="datetime-local" step={1} />
      </label>
      <label>
        <span>Headers, one name=value on a line</span>
        <textarea name="headers" rows={2} spellcheck={false} />
      </label>
    </div>
  );
}

function Result(props: { readonly published: Published }): VNode {
  const { published } = props;
  return (
    <p class="notice good">
      {published.duplicate ? "It was published before, with the same key: " : ""}
      {published.deliver_at === undefined ? (
        <>Published at offset {published.offset}. </>
      ) : (
        <>
          Scheduled for <Time at={published.deliver_at} />.{" "}
        </>
      )}
      Its story: <MessageLink id={published.id} />
    </p>
  );
}

function messageOf(
  topic: string,
  fields: FormData,
  draft: { readonly kind: DataKind; readonly text: string },
): ToPublish {
  const text = (name: string): string => {
    const value = fields.get(name);
    return typeof value === "string" ? value.trim() : "";
  };
  const headers = headersOf(text("headers"));
  const at = Date.parse(text("deliver_at"));
  const ttl = Number(text("ttl"));
  return {
    topic,
    ...carrierOf(draft),
    ...(text("key") === "" ? {} : { key: text("key") }),
    ...(text("order_key") === "" ? {} : { order_key: text("order_key") }),
    ...(text("content_type") === "" ? {} : { content_type: text("content_type") }),
    ...(Object.keys(headers).length === 0 ? {} : { headers }),
    ...(ttl > 0 ? { ttl_ms: Math.round(ttl * 1000) } : {}),
    ...(Number.isNaN(at) ? {} : { deliver_at: at }),
  };
}
