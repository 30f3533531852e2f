/** One dead letter: why it was given up, what it says, and publishing it again. */

import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { Edited } from "../api/api.ts";
import { type ApiError, asApiError } from "../api/request.ts";
import type { Attempt, DeadLetter, Published } from "../api/types.ts";
import { bytes, duration, whole } from "../format.ts";
import { carrierOf, type DataKind, draftOf, headersOf, headersText } from "../message-data.ts";
import type { PageProps } from "../pages.tsx";
import { DataField } from "../parts/data-field.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { Answer, Failure } from "../parts/notices.tsx";
import {
  Badge,
  Facts,
  Head,
  MessageLink,
  Section,
  TopicLink,
  UserLink,
  Whose,
} from "../parts/small.tsx";
import { Table } from "../parts/table.tsx";
import { Time } from "../parts/time.tsx";
import { shortReasons } from "../reasons.ts";
import { hrefOf } from "../route.ts";
import { useLoaded } from "../state/loaded.ts";
import { useShared } from "../state/shared.ts";

type Outcome =
  | { readonly phase: "none" }
  | { readonly phase: "replaying" }
  | { readonly phase: "replayed"; readonly published: Published }
  | { readonly phase: "discarded" }
  | { readonly phase: "refused"; readonly error: ApiError };

/** The page of a dead letter. */
export function DeadLetterPage(props: PageProps): VNode {
  const { api, announce } = useShared();
  const offset = props.route.subject ?? "";
  const [isAsking, setAsking] = useState(false);
  const [outcome, setOutcome] = useState<Outcome>({ phase: "none" });
  const { state, reload } = useLoaded((signal) => api.deadLetter(offset, signal), [offset]);
  const discard = async (): Promise<void> => {
    await api.discard(Number(offset));
    setOutcome({ phase: "discarded" });
    announce(`Dead letter ${offset} is removed.`);
  };
  const isGone = outcome.phase === "replayed" || outcome.phase === "discarded";
  return (
    <>
      <Head title={`Dead letter ${offset}`}>
        <a class="button" href={hrefOf("dead-letters")}>
          All dead letters
        </a>
        {!isGone && (
          <button type="button" class="danger" onClick={() => setAsking(true)}>
            Remove…
          </button>
        )}
      </Head>
      <Told outcome={outcome} />
      <Answer state={state} reload={reload}>
        {(letter) => (
          <>
            <About letter={letter} />
            <Section title="Attempts">
              <Attempts attempts={letter.history ?? []} />
            </Section>
            {!isGone && (
              <Section title="Edit and replay">
                <ReplayForm letter={letter} outcome={outcome} tell={setOutcome} />
              </Section>
            )}
          </>
        )}
      </Answer>
      {isAsking && (
        <Confirm
          title={`Remove dead letter ${offset}?`}
          action="Remove it"
          act={discard}
          onClose={() => setAsking(false)}
        >
          <p>The dead letter is removed for good. The message in its own topic stays.</p>
        </Confirm>
      )}
    </>
  );
}

function Told(props: { readonly outcome: Outcome }): VNode | null {
  const { outcome } = props;
  if (outcome.phase === "discarded") return <p class="notice good">This dead letter is removed.</p>;
  if (outcome.phase !== "replayed") return null;
  const { published } = outcome;
  return (
    <p class="notice good">
      Published again to <TopicLink topic={published.topic} /> at offset {published.offset}; the
      dead letter is removed. What becomes of it: <MessageLink id={published.id} />
    </p>
  );
}

function About(props: { readonly letter: DeadLetter }): VNode {
  const { letter } = props;
  return (
    <Section title="Why it is here">
      <Facts
        facts={[
          ["Given up", <Time key="at" at={letter.at} />],
          ["By", <Whose key="by" {...letter} />],
          [
            "Why",
            <Badge key="why" kind="warn">
              {letter.gave_up}
            </Badge>,
          ],
          ["Reasons", shortReasons(letter.reasons) ?? "–"],
          ["Attempts", whole(letter.attempts)],
          ["Topic", <TopicLink key="topic" topic={letter.topic} />],
          ["Published", <Time key="published" at={letter.message.at} />],
          ["From", <UserLink key="from" user={letter.from} />],
          ["Size", bytes(letter.bytes)],
          ["Story", <MessageLink key="story" id={letter.message.id} />],
        ]}
      />
    </Section>
  );
}

/** Attempts to deliver a message, and how each ended. */
export function Attempts(props: { readonly attempts: readonly Attempt[] }): VNode {
  if (props.attempts.length === 0) {
    return (
      <p class="quiet">
        Nothing is known of single attempts: a restart of the server forgets them.
      </p>
    );
  }
  return (
    <Table
      caption="Attempts"
      rows={props.attempts}
      keyOf={(row) => row.attempt}
      columns={[
        { title: "Attempt", kind: "number", of: (row) => row.attempt },
        { title: "Sent", of: (row) => <Time at={row.sent_at} precision="milliseconds" /> },
        {
          title: "Took",
          kind: "number",
          of: (row) => (row.sent_at === undefined ? "–" : duration(row.ended_at - row.sent_at)),
        },
        { title: "Ended", of: (row) => <Badge kind="warn">{row.ended}</Badge> },
        { title: "Reason", kind: "long", of: (row) => row.reason ?? "–" },
        { title: "Client", kind: "long", of: (row) => row.client ?? "–" },
      ]}
    />
  );
}

function ReplayForm(props: {
  readonly letter: DeadLetter;
  readonly outcome: Outcome;
  readonly tell: (outcome: Outcome) => void;
}): VNode {
  const { api, announce } = useShared();
  const { letter, outcome, tell } = props;
  const before = draftOf(letter);
  const [kind, setKind] = useState<DataKind>(before.kind);
  const [text, setText] = useState(before.text);
  const replay = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    if (!(event.currentTarget instanceof HTMLFormElement)) return;
    const fields = new FormData(event.currentTarget);
    tell({ phase: "replaying" });
    try {
      const published = await api.replay(letter.offset, editedOf(letter, fields, { kind, text }));
      tell({ phase: "replayed", published });
      announce("Published again.");
    } catch (error) {
      tell({ phase: "refused", error: asApiError(error) });
    }
  };
  return (
    <form class="stack" onSubmit={(event) => void replay(event)}>
      <DataField kind={kind} text={text} setKind={setKind} setText={setText} />
      <div class="fields">
        <label>
          <span>Topic</span>
          <input name="topic" defaultValue={letter.topic} required spellcheck={false} />
        </label>
        <label>
          <span>To</span>
          <select name="to">
            <option value="subscription">only the subscription that gave it up</option>
            <option value="all">everybody who reads the topic</option>
          </select>
        </label>
        <label>
          <span>Headers, one name=value on a line</span>
          <textarea
            name="headers"
            rows={2}
            spellcheck={false}
            defaultValue={headersText(letter.headers)}
          />
        </label>
      </div>
      <p class="quiet">On another topic it always goes to everybody who reads that one.</p>
      {outcome.phase === "refused" && <Failure error={outcome.error} />}
      <div class="buttons start">
        <button type="submit" class="main" disabled={outcome.phase === "replaying"}>
          Replay
        </button>
      </div>
    </form>
  );
}

/** Only what was changed: the server keeps everything else as it was. */
function editedOf(
  letter: DeadLetter,
  fields: FormData,
  draft: { readonly kind: DataKind; readonly text: string },
): Edited {
  const text = (name: string): string => {
    const value = fields.get(name);
    return typeof value === "string" ? value.trim() : "";
  };
  const before = draftOf(letter);
  const isSameData = before.kind === draft.kind && before.text === draft.text;
  const isSameTopic = text("topic") === letter.topic;
  const headers = headersOf(text("headers"));
  const isSameHeaders = headersText(headers) === headersText(letter.headers);
  const to = text("to") === "all" || !isSameTopic ? "all" : "subscription";
  return {
    to,
    ...(isSameData ? {} : carrierOf(draft)),
    ...(isSameTopic ? {} : { topic: text("topic") }),
    ...(isSameHeaders ? {} : { headers }),
  };
}
