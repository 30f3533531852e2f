/** The sign of Tidings: two waves. */

import type { VNode } from "preact";

/** The sign, as large as the text around it. */
export function Mark(): VNode {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      <path d="M5 13c3.7-3.4 7.3-3.4 11 0s7.3 3.4 11 0M5 20c3.7-3.4 7.3-3.4 11 0s7.3 3.4 11 0" />
    </svg>
  );
}
