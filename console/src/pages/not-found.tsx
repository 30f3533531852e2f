/** What is shown at an address that means no page. */

import type { VNode } from "preact";
import type { PageProps } from "../pages.tsx";
import { Head } from "../parts/small.tsx";
import { hrefOf } from "../route.ts";

/** The page for no page. */
export function NotFoundPage(props: PageProps): VNode {
  return (
    <>
      <Head title="There is no such page" />
      <p>
        The console has no page “{props.route.page}”. The menu has all of them, or go to the{" "}
        <a href={hrefOf("overview")}>overview</a>.
      </p>
    </>
  );
}
