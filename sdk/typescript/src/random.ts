/** Names that nobody else has. */

/** A random name. `crypto.randomUUID` would do, but pages without TLS do not have it. */
export function randomName(): string {
  const bytes = new Uint8Array(16);
  if (typeof globalThis.crypto?.getRandomValues === "function") {
    crypto.getRandomValues(bytes);
  } else {
    // React Native without a polyfill. Names need to differ, not to be secret.
    bytes.forEach((_, at) => {
      bytes[at] = Math.random() * 256;
    });
  }
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
