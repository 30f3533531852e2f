/** Storage that lasts as long as the program. */

import type { Storage } from "./storage.ts";

/** A table in memory. */
export function memoryStorage(): Storage {
  const table = new Map<string, unknown>();
  return {
    list: async (prefix) =>
      [...table].filter(([name]) => name.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1)),
    async change(puts, removes) {
      for (const name of removes) {
        table.delete(name);
      }
      for (const [name, value] of puts) {
        table.set(name, value);
      }
    },
    close() {},
  };
}
