/** The field to say something. It takes text whatever the connection does. */

import type { TargetedEvent, TargetedKeyboardEvent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { draftOf, keepDraft } from "../drafts.ts";
import { bytesOf, DATA_BYTES_MAX } from "../payload.ts";
import { placeId, titleOf } from "../place.ts";
import type { Places } from "../places.ts";
import type { Session } from "../session.ts";
import type { Talk } from "../talk.ts";

interface ComposerProps {
  readonly session: Session;
  readonly places: Places;
  readonly talk: Talk;
}

export function Composer({ session, places, talk }: ComposerProps) {
  const id = placeId(talk.place);
  const [text, setText] = useState(() => draftOf(session.user, id));
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    if (matchMedia("(hover: hover)").matches) {
      // Where there is a keyboard, whoever opens a conversation is about to type.
      field.current?.focus();
    }
  }, []);
  useEffect(() => {
    if (field.current !== null) {
      fitHeight(field.current, text);
    }
  }, [text]);
  const problem = problemOf(text);

  /** Keeps it at once: the next thing that happens may be a reload. */
  function write(changed: string): void {
    setText(changed);
    keepDraft(session.user, id, changed);
  }

  function say(event: Event): void {
    event.preventDefault();
    if (text.trim() !== "" && problem === "") {
      places.say(talk, text.trim());
      write("");
      field.current?.focus();
    }
  }

  function onKeyDown(event: TargetedKeyboardEvent<HTMLTextAreaElement>): void {
    // While letters are composed, Enter chooses one.
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      say(event);
    }
  }

  function onInput(event: TargetedEvent<HTMLTextAreaElement>): void {
    write(event.currentTarget.value);
    if (event.currentTarget.value !== "") {
      talk.signs.typed();
    }
  }

  const label = `Message to ${titleOf(talk.place)}`;
  return (
    <form class="composer" onSubmit={say}>
      <label class="unseen" for="composer">
        {label}
      </label>
      <textarea
        id="composer"
        data-testid="composer"
        ref={field}
        rows={1}
        placeholder={label}
        value={text}
        onInput={onInput}
        onKeyDown={onKeyDown}
        aria-invalid={problem !== ""}
        aria-describedby="composer-problem"
      />
      <button
        type="submit"
        class="primary"
        data-testid="send"
        disabled={text.trim() === "" || problem !== ""}
      >
        Send
      </button>
      <p id="composer-problem" class="problem" role="alert">
        {problem}
      </p>
    </form>
  );
}

/** What is wrong with a text; empty if nothing is. */
function problemOf(text: string): string {
  // A letter takes at most 6 bytes, as an escape, so that short texts need no counting.
  const bytes = text.length * 6 < DATA_BYTES_MAX / 2 ? 0 : bytesOf(text.trim());
  return bytes <= DATA_BYTES_MAX
    ? ""
    : `Too long by ${(bytes - DATA_BYTES_MAX).toLocaleString()} bytes. Shorten it, or send it in parts.`;
}

/** As high as its text, within what the styles allow. */
function fitHeight(field: HTMLTextAreaElement, text: string): void {
  field.style.height = "auto";
  if (text !== "") {
    field.style.height = `${field.scrollHeight + 2}px`;
  }
}
