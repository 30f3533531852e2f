/** One message, as text: nothing that somebody writes becomes part of the page's markup. */

import { timeText } from "../dates.ts";
import type { MessageRow, Progress } from "../rows.ts";
import type { Talk } from "../talk.ts";
import { Avatar } from "./avatar.tsx";

/** One to three emoji and nothing else. */
const EMOJI_ALONE =
  /^(?:(?:\p{Regional_Indicator}{2}|\p{Extended_Pictographic}(?:\uFE0F|\p{Emoji_Modifier}|\u200D\p{Extended_Pictographic})*)\s*){1,3}$/u;

export function MessageLine({
  message,
  talk,
}: {
  readonly message: MessageRow;
  readonly talk: Talk;
}) {
  const { from, mine, text, at, begins, progress } = message;
  const classes = ["message", mine ? "is-mine" : "", begins ? "begins" : ""].join(" ");
  return (
    <li class={classes} data-testid="message" data-state={progress.state} data-from={from}>
      {begins && !mine && <Avatar name={from} />}
      <div class="bubble">
        {begins && !mine ? <span class="from">{from}</span> : <span class="unseen">{from}: </span>}
        <span class={EMOJI_ALONE.test(text) ? "text is-emoji" : "text"}>{text}</span>
        <span class="meta">
          <time dateTime={new Date(at).toISOString()}>{timeText(at)}</time>
          {mine && <Ticks progress={progress} />}
        </span>
        {progress.state === "refused" && (
          <Refused reason={progress.reason} talk={talk} id={message.key} />
        )}
      </div>
    </li>
  );
}

interface RefusedProps {
  readonly reason: string;
  readonly talk: Talk;
  readonly id: string;
}

function Refused({ reason, talk, id }: RefusedProps) {
  const key = id.replace(/^mine-/, "");
  return (
    <p class="problem refusal">
      Not sent: {reason}.{" "}
      <button type="button" onClick={() => talk.sayAgain(key)}>
        Try again
      </button>{" "}
      <button type="button" onClick={() => talk.discard(key)}>
        Discard
      </button>
    </p>
  );
}

/** How far a message has come: a clock, one tick, or two. */
function Ticks({ progress }: { readonly progress: Progress }) {
  const label = labelOf(progress);
  return (
    <span class={`ticks ticks-${progress.state}`} title={label}>
      <svg viewBox="0 0 20 12" width="20" height="12" aria-hidden="true">
        <path d={pathOf(progress)} />
      </svg>
      <span class="unseen">{label}</span>
    </span>
  );
}

function labelOf(progress: Progress): string {
  switch (progress.state) {
    case "pending":
      return "Waits to be sent";
    case "refused":
      return "Not sent";
    case "sent":
      return "Sent and kept by the server";
    case "read":
      return `Read by ${progress.readers.slice(0, 5).join(", ")}${progress.readers.length > 5 ? " and others" : ""}`;
  }
}

function pathOf(progress: Progress): string {
  switch (progress.state) {
    case "pending":
      return "M10 1a5 5 0 1 1 0 10a5 5 0 1 1 0-10M10 3.5V6l2 1.5";
    case "refused":
      return "M6 2l8 8M14 2l-8 8";
    case "sent":
      return "M5 6.5l3.5 3.5L15 2.5";
    case "read":
      return "M1.5 6.5L5 10l6.500-7.500M9 9l1 1l6.500-7.500";
  }
}
