/** What each error means and what to do about it, in the words of docs/errors.md. */

import type { VNode } from "preact";
import { ERROR_TEXTS } from "../errors/texts.ts";
import type { PageProps } from "../pages.tsx";
import { Head, Section } from "../parts/small.tsx";
import { hrefOf } from "../route.ts";

/** One error, or all of them. */
export function ErrorsPage(props: PageProps): VNode {
  const { subject } = props.route;
  const codes = Object.keys(ERROR_TEXTS).filter(
    (code) => subject === undefined || code === subject,
  );
  return (
    <>
      <Head
        title={subject === undefined ? "Error codes" : <code>{subject}</code>}
        about="What the server says when it refuses something, and what to do about it."
      />
      {codes.length === 0 && <p>There is no error of that name.</p>}
      {codes.map((code) => (
        <Section key={code} title={code}>
          <p class="prose lines">{ERROR_TEXTS[code]}</p>
        </Section>
      ))}
      {subject !== undefined && (
        <p>
          <a href={hrefOf("errors")}>All error codes</a>
        </p>
      )}
    </>
  );
}
