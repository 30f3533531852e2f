/** A client in the page: connect, subscribe, publish, and see the frames. */

import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import { type ApiError, asApiError } from "../api/request.ts";
import type { NodeState } from "../api/types.ts";
import { Answer, Failure } from "../parts/notices.tsx";
import { Badge, Head, Section } from "../parts/small.tsx";
import { publicAddress } from "../public-address.ts";
import { useLoaded } from "../state/loaded.ts";
import { useShared } from "../state/shared.ts";
import { Trial, type TrialView } from "../state/trial.ts";
import { TrialForms } from "./client-forms.tsx";
import { FrameList, HeardList } from "./client-lists.tsx";

/** The page is drawn at most this often. */
const DRAWN_EVERY_MS = 250;

/** The in-page client. */
export function ClientPage(): VNode {
  const { api } = useShared();
  const { state, reload } = useLoaded((signal) => api.node(signal), []);
  return (
    <>
      <Head
        title="Try it"
        about="A client in this page, over the public WebSocket, with the SDK that browsers use."
      />
      <Answer state={state} reload={reload}>
        {(node) => <WithNode node={node} />}
      </Answer>
    </>
  );
}

function WithNode(props: { readonly node: NodeState }): VNode {
  const [trial, setTrial] = useState<Trial>();
  const [error, setError] = useState<ApiError>();
  const view = useTrialView(trial);
  // Leaving the page closes the connection.
  useEffect(() => () => void trial?.close(), [trial]);

  const connect = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    if (!(event.currentTarget instanceof HTMLFormElement)) return;
    const fields = new FormData(event.currentTarget);
    setError(undefined);
    try {
      const begun = new Trial(
        publicAddress(props.node, location.hostname),
        String(fields.get("token")),
      );
      setTrial(begun);
      await begun.connect();
    } catch (thrown) {
      setError(asApiError(thrown));
    }
  };
  return (
    <>
      <Section title="Connection">
        {trial === undefined || view === undefined ? (
          <ConnectForm node={props.node} connect={connect} />
        ) : (
          <div class="connection">
            <Badge kind={view.state.status === "connected" ? "good" : "warn"}>
              {view.state.status}
            </Badge>
            <span>{view.state.hint}</span>
            <button type="button" onClick={() => setTrial(undefined)}>
              Disconnect
            </button>
          </div>
        )}
        {view !== undefined && <Refused status={view.state.status} isOpen={props.node.auth_open} />}
        {error !== undefined && <Failure error={error} />}
      </Section>
      {trial !== undefined && view !== undefined && (
        <>
          <TrialForms trial={trial} view={view} />
          <Section title="Messages">
            <HeardList heard={view.heard} />
          </Section>
          <Section title="Frames">
            <FrameList frames={view.frames} />
          </Section>
        </>
      )}
    </>
  );
}

/** Browsers do not tell a page why a server refused its WebSocket, so the likely reason is said here. */
function Refused(props: { readonly status: string; readonly isOpen: boolean }): VNode | null {
  const isRefused = props.status === "reconnecting" || props.status === "offline";
  if (!isRefused || props.isOpen) return null;
  return (
    <p class="notice warn">
      If it never connects: this server takes WebSockets of pages only from the origins in{" "}
      <code>server.allowed_origins</code>. Add <code>{location.origin}</code> there to try it from
      this console.
    </p>
  );
}

function ConnectForm(props: {
  readonly node: NodeState;
  readonly connect: (event: SubmitEvent) => Promise<void>;
}): VNode {
  const { node } = props;
  return (
    <form class="stack" onSubmit={(event) => void props.connect(event)}>
      <p>
        To <code>{publicAddress(node, location.hostname)}</code>
      </p>
      <label class="narrow">
        <span>{node.auth_open ? "Token (this server wants none)" : "Token"}</span>
        <input
          name="token"
          type="password"
          autocomplete="off"
          required={!node.auth_open}
          placeholder={node.auth_open ? "" : "tidings token --user alice"}
        />
      </label>
      <div class="buttons start">
        <button type="submit" class="main">
          Connect
        </button>
      </div>
    </form>
  );
}

/** What is to be shown of a trial, a few times a second. */
function useTrialView(trial: Trial | undefined): TrialView | undefined {
  const [view, setView] = useState<TrialView>();
  useEffect(() => {
    if (trial === undefined) return setView(undefined);
    let frame = 0;
    let drawn = 0;
    const draw = (now: number): void => {
      frame = requestAnimationFrame(draw);
      if (now - drawn < DRAWN_EVERY_MS) return;
      drawn = now;
      setView(trial.view(performance.now()));
    };
    frame = requestAnimationFrame(draw);
    return () => cancelAnimationFrame(frame);
  }, [trial]);
  return view;
}
