/** Who is here: a list that is asked for once and then kept by what is told of who comes and goes. */

import type { Member } from "@tidings/client";

/** The devices of everybody who is here, by user and device. */
export type Members = ReadonlyMap<string, Member>;

function keyOf(member: Member): string {
  return JSON.stringify([member.user, member.client]);
}

export function membersOf(list: readonly Member[]): Members {
  return new Map(list.map((member) => [keyOf(member), member]));
}

export function withChange(
  members: Members,
  change: { readonly joined: readonly Member[]; readonly left: readonly Member[] },
): Members {
  const changed = new Map(members);
  for (const member of change.left) {
    changed.delete(keyOf(member));
  }
  for (const member of change.joined) {
    changed.set(keyOf(member), member);
  }
  return changed;
}

/** The people among them, each once. */
export function peopleOf(members: Members): readonly string[] {
  return [...new Set([...members.values()].map((member) => member.user))].sort();
}
