/** What can be done with the client in the page: subscribe and publish. */

import type { VNode } from "preact";
import { useState } from "preact/hooks";
import { type ApiError, asApiError } from "../api/request.ts";
import { carrierOf } from "../message-data.ts";
import { Failure } from "../parts/notices.tsx";
import { Section } from "../parts/small.tsx";
import { useShared } from "../state/shared.ts";
import type { Trial, TrialView, WantedSubscription } from "../state/trial.ts";

/** The forms of a client that is connected, or will be. */
export function TrialForms(props: { readonly trial: Trial; readonly view: TrialView }): VNode {
  const { trial, view } = props;
  return (
    <div class="pair">
      <Section title="Subscribe">
        <SubscribeForm trial={trial} />
        {view.subscriptions.length > 0 && (
          <ul class="chips">
            {view.subscriptions.map((filter) => (
              <li key={filter}>
                <code>{filter}</code>
                <button type="button" class="small" onClick={() => void trial.unsubscribe(filter)}>
                  Unsubscribe<span class="unseen"> from {filter}</span>
                </button>
              </li>
            ))}
          </ul>
        )}
      </Section>
      <Section title="Publish">
        <PublishForm trial={trial} />
      </Section>
    </div>
  );
}

/** Does something with the fields of a form, and keeps what went wrong. */
function useForm(
  act: (fields: (name: string) => string) => Promise<void>,
): [(event: SubmitEvent) => void, ApiError | undefined] {
  const [error, setError] = useState<ApiError>();
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    if (!(event.currentTarget instanceof HTMLFormElement)) return;
    const fields = new FormData(event.currentTarget);
    setError(undefined);
    try {
      await act((name) => String(fields.get(name) ?? "").trim());
    } catch (thrown) {
      setError(asApiError(thrown));
    }
  };
  return [(event) => void submit(event), error];
}

function SubscribeForm(props: { readonly trial: Trial }): VNode {
  const { announce } = useShared();
  const [kind, setKind] = useState<WantedSubscription["kind"]>("live");
  const [submit, error] = useForm(async (field) => {
    const from = field("from");
    await props.trial.subscribe({
      filter: field("filter"),
      kind,
      name: field("name"),
      from: from === "first" || from === "last" ? from : "new",
    });
    announce(`Subscribed to ${field("filter")}.`);
  });
  const choose = (value: string): void =>
    setKind(value === "durable" || value === "shared" ? value : "live");
  return (
    <form class="stack" onSubmit={submit}>
      <div class="fields">
        <label>
          <span>Topic or filter</span>
          <input name="filter" required defaultValue="room/42" spellcheck={false} />
        </label>
        <label>
          <span>Kind</span>
          <select value={kind} onChange={(event) => choose(event.currentTarget.value)}>
            <option value="live">live</option>
            <option value="durable">durable</option>
            <option value="shared">shared, in a group</option>
          </select>
        </label>
        {kind !== "live" && (
          <label>
            <span>{kind === "durable" ? "Name of the durable" : "Name of the group"}</span>
            <input name="name" required spellcheck={false} />
          </label>
        )}
        <label>
          <span>From</span>
          <select name="from">
            <option value="new">the next message</option>
            <option value="first">the earliest kept</option>
            <option value="last">the last one</option>
          </select>
        </label>
      </div>
      {error !== undefined && <Failure error={error} />}
      <div class="buttons start">
        <button type="submit">Subscribe</button>
      </div>
    </form>
  );
}

function PublishForm(props: { readonly trial: Trial }): VNode {
  const { announce } = useShared();
  const [submit, error] = useForm(async (field) => {
    const { data } = carrierOf({ kind: "json", text: field("data") });
    await props.trial.publish(field("topic"), data ?? null);
    announce("Published: it is durable.");
  });
  return (
    <form class="stack" onSubmit={submit}>
      <label>
        <span>Topic</span>
        <input name="topic" required defaultValue="room/42" spellcheck={false} />
      </label>
      <label>
        <span>Data, as JSON</span>
        <textarea
          class="code"
          name="data"
          rows={3}
          defaultValue={'{"hello":"console"}'}
          spellcheck={false}
        />
      </label>
      {error !== undefined && <Failure error={error} />}
      <div class="buttons start">
        <button type="submit">Publish</button>
      </div>
    </form>
  );
}
