/** Small pieces that many pages are made of. */

import type { ComponentChildren, VNode } from "preact";
import { hrefOf } from "../route.ts";

/** The head of a page: its one first heading, and what can be done with all of it. */
export function Head(props: {
  readonly title: ComponentChildren;
  readonly about?: ComponentChildren;
  readonly children?: ComponentChildren;
}): VNode {
  return (
    <header class="head">
      <div>
        <h1 id="title" tabIndex={-1}>
          {props.title}
        </h1>
        {props.about !== undefined && <p class="quiet">{props.about}</p>}
      </div>
      {props.children !== undefined && <div class="buttons">{props.children}</div>}
    </header>
  );
}

/** A part of a page. */
export function Section(props: {
  readonly title: string;
  readonly actions?: ComponentChildren;
  readonly children: ComponentChildren;
}): VNode {
  return (
    <section class="card" aria-label={props.title}>
      <div class="card-head">
        <h2>{props.title}</h2>
        {props.actions !== undefined && <div class="buttons">{props.actions}</div>}
      </div>
      {props.children}
    </section>
  );
}

/** A fact and its name. */
export type Fact = readonly [name: string, value: ComponentChildren];

/** Facts under each other. */
export function Facts(props: { readonly facts: readonly Fact[] }): VNode {
  return (
    <dl class="facts">
      {props.facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A word that says how something stands. It never says so by colour alone. */
export function Badge(props: {
  readonly kind?: "good" | "bad" | "warn" | "plain";
  readonly children: ComponentChildren;
}): VNode {
  return <span class={`badge ${props.kind ?? "plain"}`}>{props.children}</span>;
}

/** The ways to look at one thing. */
export function Views(props: {
  readonly label: string;
  readonly page: string;
  readonly subject: string | undefined;
  readonly views: ReadonlyArray<readonly [id: string, title: string]>;
  readonly current: string;
}): VNode {
  return (
    <nav class="views" aria-label={props.label}>
      {props.views.map(([id, title]) => (
        <a
          key={id}
          href={hrefOf(props.page, props.subject, { view: id })}
          aria-current={id === props.current ? "page" : undefined}
        >
          {title}
        </a>
      ))}
    </nav>
  );
}

/** Where a list goes on. The pages before are behind the browser's own way back. */
export function Pager(props: {
  readonly page: string;
  readonly subject?: string | undefined;
  readonly query: Readonly<Record<string, string>>;
  readonly cursor: string | null | undefined;
  readonly more: boolean;
  readonly children?: ComponentChildren;
}): VNode | null {
  const { cursor: now, ...first } = props.query;
  if (now === undefined && !props.more && props.children === undefined) return null;
  const next = props.cursor ?? undefined;
  return (
    <nav class="pager" aria-label="Pages">
      <span class="quiet">{props.children}</span>
      {now !== undefined && <a href={hrefOf(props.page, props.subject, first)}>First page</a>}
      {props.more && next !== undefined && (
        <a href={hrefOf(props.page, props.subject, { ...first, cursor: next })}>Next page</a>
      )}
    </nav>
  );
}

/** A link to the page of a topic. */
export function TopicLink(props: { readonly topic: string }): VNode {
  return (
    <a class="name" href={hrefOf("topics", props.topic)}>
      {props.topic}
    </a>
  );
}

/** A link to the page of a user; nobody is a dash. */
export function UserLink(props: { readonly user: string | null | undefined }): VNode {
  if (props.user === null || props.user === undefined || props.user === "") return <span>–</span>;
  return (
    <a class="name" href={hrefOf("users", props.user)}>
      {props.user}
    </a>
  );
}

/** A link to the story of a message. */
export function MessageLink(props: { readonly id: string }): VNode {
  return (
    <a class="id" href={hrefOf("messages", props.id)}>
      {props.id}
    </a>
  );
}

/** Whose a durable or shared subscription is. */
export function Whose(props: {
  readonly user?: string | null | undefined;
  readonly durable?: string | null | undefined;
  readonly group?: string | null | undefined;
  readonly filter?: string | null | undefined;
}): VNode {
  const { user, durable, group, filter } = props;
  if (group !== null && group !== undefined && group !== "") {
    return (
      <span>
        group{" "}
        <a class="name" href={hrefOf("groups", group, { filter: filter ?? undefined })}>
          {group}
        </a>
      </span>
    );
  }
  return (
    <span>
      <UserLink user={user} />
      {durable !== null && durable !== undefined && <span class="quiet"> as {durable}</span>}
    </span>
  );
}
