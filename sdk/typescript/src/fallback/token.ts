/** What a token says of itself. Whether it counts is for the server to say. */

/** Whose token it is, and until when it counts. */
export interface Claims {
  readonly user?: string;
  /** Milliseconds since 1970. */
  readonly expiresAt?: number;
}

/** The claims of a token (RFC 7519); nothing of what is none. */
export function claimsOf(token: string | undefined): Claims {
  const payload = token?.split(".")[1];
  if (payload === undefined) {
    return {};
  }
  try {
    const text = atob(payload.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof claims !== "object" || claims === null) {
      return {};
    }
    return {
      ...("sub" in claims && typeof claims.sub === "string" ? { user: claims.sub } : {}),
      ...("exp" in claims && typeof claims.exp === "number"
        ? { expiresAt: Math.floor(claims.exp * 1000) }
        : {}),
    };
  } catch {
    return {};
  }
}
