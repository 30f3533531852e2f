/** What the runtime tells of its surroundings, where it does: browsers mostly. */

/** Something around the client has changed. */
export interface Surroundings {
  /** There may be a network again, or somebody looks: try now. */
  awake(): void;
  /** The platform says that there is no network. */
  offline(): void;
  /** The page may be gone in a moment. */
  leaving(): void;
}

/** Whether the platform says that there is no network. */
export function saysOffline(): boolean {
  return typeof navigator === "object" && navigator.onLine === false;
}

/** Listens until the function that it returns is called. */
export function watchSurroundings(surroundings: Surroundings): () => void {
  if (typeof globalThis.addEventListener !== "function") {
    return () => {};
  }
  const page = typeof document === "object" ? document : undefined;
  const seen = () => {
    if (page?.visibilityState === "visible") {
      surroundings.awake();
    } else {
      surroundings.leaving();
    }
  };
  const listeners = [
    [globalThis, "online", () => surroundings.awake()],
    [globalThis, "offline", () => surroundings.offline()],
    [globalThis, "pageshow", () => surroundings.awake()],
    [globalThis, "pagehide", () => surroundings.leaving()],
    [page, "visibilitychange", seen],
  ] as const;
  for (const [target, name, listener] of listeners) {
    target?.addEventListener(name, listener);
  }
  return () => {
    for (const [target, name, listener] of listeners) {
      target?.removeEventListener(name, listener);
    }
  };
}

/** Lets go of a lock. */
export type Release = () => void;

/** Whether pages of one origin can tell who of them does something. */
export function hasLocks(): boolean {
  return typeof navigator === "object" && typeof navigator.locks === "object";
}

/** Takes a lock that no living page of this origin has; `undefined` if one has it. */
export function tryLock(name: string): Promise<Release | undefined> {
  return new Promise((resolve, reject) => {
    const held = (lock: Lock | null) => {
      if (lock === null) {
        resolve(undefined);
        return undefined;
      }
      return new Promise<void>((release) => resolve(release));
    };
    navigator.locks.request(name, { ifAvailable: true }, held).catch(reject);
  });
}

/** Resolves when whoever has a lock has let go of it. */
export function whenFree(name: string): Promise<void> {
  return navigator.locks.request(name, () => {});
}
