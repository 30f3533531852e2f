/** Whether the server knows anything of a user. It answers for every name, also for one nobody has. */

import type { UserState } from "../api/types.ts";

/** Whether an answer says nothing but the name that was asked for. */
export function isNothingKnown(user: UserState): boolean {
  return (
    !user.online &&
    user.last_seen === null &&
    user.connections_total === 0 &&
    user.sessions.length === 0 &&
    user.cursors.length === 0
  );
}
