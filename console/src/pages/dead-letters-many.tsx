/** Publishes again, or removes, all dead letters that filters choose: piece by piece, and can be stopped. */

import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Api } from "../api/api.ts";
import { type ApiError, asApiError, isAborted, type Query } from "../api/request.ts";
import type { ManyDone } from "../api/types.ts";
import { whole } from "../format.ts";
import { Dialog } from "../parts/dialog.tsx";
import { Failure } from "../parts/notices.tsx";
import { useShared } from "../state/shared.ts";
import { filtersInWords } from "./dead-letter-filters.ts";

/** How many are done between two looks at the progress. */
const PIECE = 200;

/** Errors that are kept to be shown. */
const ERRORS_MAX = 10;

/** What was done so far. */
interface Progress {
  readonly done: number;
  readonly failed: number;
  readonly kept: number | undefined;
  readonly errors: NonNullable<ManyDone["errors"]>;
}

type Work =
  | { readonly phase: "asking" }
  | { readonly phase: "working"; readonly progress: Progress }
  | {
      readonly phase: "ended";
      readonly progress: Progress;
      readonly stopped: boolean;
      readonly error?: ApiError;
    };

const NOTHING_DONE: Progress = { done: 0, failed: 0, kept: undefined, errors: [] };

const WORDS = {
  replay: { title: "Replay many dead letters", action: "Replay them", done: "replayed" },
  purge: { title: "Purge many dead letters", action: "Purge them for good", done: "purged" },
} as const;

/** Asks, works, and tells how far it is. */
export function ManyDialog(props: {
  readonly what: "replay" | "purge";
  readonly filters: Query;
  readonly onClose: () => void;
}): VNode {
  const { api } = useShared();
  const { what, filters } = props;
  const [work, setWork] = useState<Work>({ phase: "asking" });
  const [to, setTo] = useState<"subscription" | "all">("subscription");
  const stop = useRef(new AbortController());
  useEffect(() => () => stop.current.abort(), []);

  const start = (): void => {
    const wanted: Query = {
      ...filters,
      limit: PIECE,
      ...(Object.keys(filters).length === 0 ? { all: true } : {}),
      ...(what === "replay" ? { to } : {}),
    };
    void workThrough(api, what, wanted, stop.current.signal, setWork);
  };
  return (
    <Dialog title={WORDS[what].title} onClose={props.onClose}>
      {work.phase === "asking" ? (
        <Question what={what} filters={filters} to={to} setTo={setTo} />
      ) : (
        <Told work={work} done={WORDS[what].done} />
      )}
      <div class="buttons">
        {work.phase === "working" ? (
          <button type="button" onClick={() => stop.current.abort()}>
            Stop
          </button>
        ) : (
          <button type="button" onClick={props.onClose}>
            {work.phase === "asking" ? "Leave it" : "Close"}
          </button>
        )}
        {work.phase === "asking" && (
          <button type="button" class={what === "purge" ? "danger" : "main"} onClick={start}>
            {WORDS[what].action}
          </button>
        )}
      </div>
    </Dialog>
  );
}

function Question(props: {
  readonly what: "replay" | "purge";
  readonly filters: Query;
  readonly to: "subscription" | "all";
  readonly setTo: (to: "subscription" | "all") => void;
}): VNode {
  const choices = [
    ["subscription", "only to the subscription that gave it up"],
    ["all", "to everybody who reads the topic"],
  ] as const;
  if (props.what === "purge") {
    return (
      <p class="prose">
        This removes {filtersInWords(props.filters)}. The messages in their own topics stay. It
        cannot be undone.
      </p>
    );
  }
  return (
    <div class="prose stack">
      <p>
        This publishes {filtersInWords(props.filters)} again, at a steady rate, and removes each
        once its message is on disk.
      </p>
      <fieldset class="choices">
        <legend>Each goes</legend>
        {choices.map(([choice, words]) => (
          <label key={choice}>
            <input
              type="radio"
              name="to"
              checked={choice === props.to}
              onChange={() => props.setTo(choice)}
            />
            <span>{words}</span>
          </label>
        ))}
      </fieldset>
    </div>
  );
}

function Told(props: {
  readonly work: Exclude<Work, { phase: "asking" }>;
  readonly done: string;
}): VNode {
  const { work } = props;
  const { progress } = work;
  const left = progress.kept;
  const known = left === undefined ? undefined : progress.done + left;
  const state = work.phase === "working" ? "Working…" : work.stopped ? "Stopped." : "Done.";
  return (
    <div class="stack">
      {work.phase === "working" && (
        <progress
          aria-label="Progress"
          max={known}
          value={known === undefined ? undefined : progress.done}
        />
      )}
      <p role="status">
        {state} {whole(progress.done)} {props.done}
        {progress.failed > 0 && <>, {whole(progress.failed)} failed and stayed</>}
        {left !== undefined && <>, {whole(left)} dead letters are kept</>}.
      </p>
      {progress.errors.length > 0 && (
        <ul class="quiet">
          {progress.errors.map((error) => (
            <li key={error.offset}>
              № {error.offset}: <code>{error.code}</code> {error.detail}
            </li>
          ))}
        </ul>
      )}
      {work.phase === "ended" && work.error !== undefined && <Failure error={work.error} />}
    </div>
  );
}

async function workThrough(
  api: Api,
  what: "replay" | "purge",
  wanted: Query,
  signal: AbortSignal,
  tell: (work: Work) => void,
): Promise<void> {
  let progress = NOTHING_DONE;
  let cursor: string | null | undefined;
  tell({ phase: "working", progress });
  try {
    for (;;) {
      const answer = await api.many(what, { ...wanted, cursor: cursor ?? undefined }, signal);
      progress = {
        done: progress.done + (answer.replayed ?? answer.purged ?? 0),
        failed: progress.failed + answer.failed,
        kept: answer.kept,
        errors: [...progress.errors, ...(answer.errors ?? [])].slice(0, ERRORS_MAX),
      };
      cursor = answer.cursor;
      if (!answer.more || cursor === undefined || cursor === null) break;
      tell({ phase: "working", progress });
    }
    tell({ phase: "ended", progress, stopped: false });
  } catch (error) {
    if (isAborted(error) || signal.aborted)
      return tell({ phase: "ended", progress, stopped: true });
    tell({ phase: "ended", progress, stopped: true, error: asApiError(error) });
  }
}
