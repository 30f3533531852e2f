/** Storage in a browser's IndexedDB, which pages, workers and service workers have. */

import type { Storage } from "./storage.ts";

/** The one table in the database. */
const TABLE = "entries";

/** What a request comes to. */
function outcome<Value>(request: IDBRequest<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Opens the database of this name, and makes it if there is none. */
export async function browserStorage(name: string): Promise<Storage> {
  const opening = indexedDB.open(name, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(TABLE);
  const database = await outcome(opening);
  // A page that wants to remove the database is not held up by this one.
  database.onversionchange = () => database.close();
  return {
    async list(prefix) {
      const table = database.transaction(TABLE).objectStore(TABLE);
      const range = IDBKeyRange.bound(prefix, `${prefix}\uffff`);
      const [names, values] = await Promise.all([
        outcome(table.getAllKeys(range)),
        outcome(table.getAll(range)),
      ]);
      return names.map((name, index) => [String(name), values[index]] as const);
    },
    change(puts, removes) {
      return new Promise((resolve, reject) => {
        const transaction = database.transaction(TABLE, "readwrite");
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(transaction.error);
        const table = transaction.objectStore(TABLE);
        for (const name of removes) {
          table.delete(name);
        }
        for (const [name, value] of puts) {
          table.put(value, name);
        }
        // At once: a page that is being left would take a transaction that is still open with it.
        transaction.commit();
      });
    },
    close: () => database.close(),
  };
}
