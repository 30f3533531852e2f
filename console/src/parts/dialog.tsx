/** Questions before something that cannot be taken back. */

import type { ComponentChildren, VNode } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { type ApiError, asApiError } from "../api/request.ts";
import { Failure } from "./notices.tsx";

/** A window over the page, which the Escape key closes. */
export function Dialog(props: {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}): VNode {
  const element = useRef<HTMLDialogElement>(null);
  const title = useId();
  useEffect(() => {
    const before = document.activeElement;
    element.current?.showModal();
    // The keyboard goes on where it was before the question.
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog ref={element} class="dialog" aria-labelledby={title} onClose={props.onClose}>
      <h2 id={title}>{props.title}</h2>
      {props.children}
    </dialog>
  );
}

/** Asks whether to do it, does it, and says what went wrong if it did not work. */
export function Confirm(props: {
  readonly title: string;
  readonly children: ComponentChildren;
  /** What the button says, such as `Disconnect alice`. */
  readonly action: string;
  readonly act: () => Promise<void>;
  readonly onClose: () => void;
}): VNode {
  const [doing, setDoing] = useState(false);
  const [error, setError] = useState<ApiError>();
  const act = async (): Promise<void> => {
    setDoing(true);
    setError(undefined);
    try {
      await props.act();
      props.onClose();
    } catch (thrown) {
      setError(asApiError(thrown));
      setDoing(false);
    }
  };
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <div class="prose">{props.children}</div>
      {error !== undefined && <Failure error={error} />}
      <div class="buttons">
        <button type="button" onClick={props.onClose}>
          Leave it
        </button>
        <button type="button" class="danger" disabled={doing} onClick={() => void act()}>
          {props.action}
        </button>
      </div>
    </Dialog>
  );
}
