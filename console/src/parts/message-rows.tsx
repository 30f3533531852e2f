/** Messages under each other, each of which opens to show everything. */

import { Component, type VNode } from "preact";
import type { StoredMessage } from "../api/types.ts";
import { cut, iso, local } from "../format.ts";
import { previewOf, readable } from "../message-data.ts";
import { Facts, MessageLink, UserLink } from "./small.tsx";

/** Characters of a message's data on its line: more than fits. */
const PREVIEW_MAX = 200;

/** A list of messages in the order given. */
export function MessageRows(props: {
  readonly messages: readonly StoredMessage[];
  readonly label: string;
}): VNode {
  return (
    <ol class="messages" aria-label={props.label}>
      {props.messages.map((message) => (
        <li key={message.id + message.offset}>
          <MessageRow message={message} />
        </li>
      ))}
    </ol>
  );
}

/** A message never changes, so that its row is drawn once, however often those around it are. */
class MessageRow extends Component<{ readonly message: StoredMessage }> {
  override shouldComponentUpdate(next: { readonly message: StoredMessage }): boolean {
    return next.message !== this.props.message;
  }

  override render(): VNode {
    const { message } = this.props;
    return (
      <details>
        <summary>
          <span class="offset">{message.offset}</span>
          <time dateTime={iso(message.at)} title={iso(message.at)}>
            {local(message.at, "milliseconds").slice(11)}
          </time>
          <span class="from">{message.from ?? "–"}</span>
          <code class="preview">{cut(previewOf(message), PREVIEW_MAX)}</code>
        </summary>
        <MessageInFull message={message} />
      </details>
    );
  }
}

function MessageInFull(props: { readonly message: StoredMessage }): VNode {
  const { message } = props;
  return (
    <div class="in-full">
      <pre>{readable(message)}</pre>
      <Facts
        facts={[
          ["Published", local(message.at, "milliseconds")],
          ["From", <UserLink key="from" user={message.from} />],
          ["Story", <MessageLink key="id" id={message.id} />],
          ...(message.order_key === undefined ? [] : [["Order key", message.order_key] as const]),
          ...(message.content_type === undefined
            ? []
            : [["Content type", message.content_type] as const]),
          ...Object.entries(message.headers ?? {}).map(
            ([name, value]) => [`Header ${name}`, value] as const,
          ),
        ]}
      />
    </div>
  );
}
