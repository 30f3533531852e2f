/** What stands where there is nothing to show yet: waiting, an error, or nothing at all. */

import type { ComponentChildren, VNode } from "preact";
import type { ApiError } from "../api/request.ts";
import { ERROR_TEXTS } from "../errors/texts.ts";
import { hrefOf } from "../route.ts";
import type { Loaded } from "../state/loaded.ts";
import { Copy } from "./copy.tsx";

/** An error: its code, its words, and where to read what to do. */
export function Failure(props: {
  readonly error: ApiError;
  readonly again?: (() => void) | undefined;
}): VNode {
  const { error, again } = props;
  return (
    <div class="notice bad" role="alert">
      <p>
        <strong>
          <code>{error.code}</code>
        </strong>{" "}
        {error.message}
      </p>
      <p class="quiet">
        {ERROR_TEXTS[error.code] !== undefined && (
          <a href={hrefOf("errors", error.code)}>What {error.code} means</a>
        )}
        {error.requestId !== undefined && (
          <span>
            request <code>{error.requestId}</code>
          </span>
        )}
        {again !== undefined && (
          <button type="button" class="small" onClick={again}>
            Try again
          </button>
        )}
      </p>
    </div>
  );
}

/** Nothing there: what that means, and a command to try. */
export function Empty(props: {
  readonly children: ComponentChildren;
  readonly command?: string;
}): VNode {
  return (
    <div class="empty">
      <p>{props.children}</p>
      {props.command !== undefined && (
        <p class="command">
          <code>{props.command}</code>
          <Copy text={props.command} what="the command" />
        </p>
      )}
    </div>
  );
}

/** Shows an answer once it is there, and what is wrong with it if anything is. */
export function Answer<Value>(props: {
  readonly state: Loaded<Value>;
  readonly reload: () => void;
  readonly children: (value: Value) => ComponentChildren;
}): VNode {
  const { state, reload } = props;
  switch (state.phase) {
    case "loading":
      return <p class="waiting">Asking the server…</p>;
    case "failed":
      return <Failure error={state.error} again={reload} />;
    case "there":
      return (
        <>
          {state.trouble !== undefined && <Failure error={state.trouble} again={reload} />}
          {props.children(state.value)}
        </>
      );
  }
}
