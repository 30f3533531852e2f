/** What the runtime tells of its surroundings, where it does: browsers mostly. */

/** Something around the client has changed. */
export interface Surroundings {
  /** There may be a network again, or somebody looks: try now. */
  readonly awake: () => void;
  /** The platform says that there is no network. */
  readonly offline: () => void;
  /** The page may be gone in a moment. */
  readonly leaving: () => void;
}

/** Whether the platform says that there is no network. */
export function saysOffline(): boolean {
  return typeof navigator === "object" && navigator.onLine === false;
}

/** Listens until the function that it returns is called. */
export function watchSurroundings({ awake, offline, leaving }: Surroundings): () => void {
  if (typeof globalThis.addEventListener !== "function") {
    return () => {};
  }
  const page = typeof document === "object" ? document : undefined;
  const seen = () => (page?.visibilityState === "visible" ? awake() : leaving());
  const listeners = [
    [globalThis, "online", awake],
    [globalThis, "offline", offline],
    [globalThis, "pageshow", awake],
    [globalThis, "pagehide", leaving],
    [page, "visibilitychange", seen],
  ] as const;
  const life = new AbortController();
  for (const [target, name, listener] of listeners) {
    target?.addEventListener(name, listener, life);
  }
  return () => life.abort();
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
    const held = (lock: Lock | null) =>
      lock === null ? resolve(undefined) : new Promise<void>((release) => resolve(release));
    navigator.locks.request(name, { ifAvailable: true }, held).catch(reject);
  });
}
