/** Requests to the operator's port, and what can go wrong with them. */

/** An answer that was no success: the server's own words where it had some. */
export class ApiError extends Error {
  /** The stable word of docs/errors.md, or `unreachable` where no server answered. */
  readonly code: string;
  /** The status of the answer, 0 where there was none. */
  readonly status: number;
  readonly temporary: boolean;
  readonly requestId: string | undefined;

  constructor(told: {
    code: string;
    message: string;
    status: number;
    temporary: boolean;
    requestId?: string | undefined;
  }) {
    super(told.message);
    this.name = "ApiError";
    this.code = told.code;
    this.status = told.status;
    this.temporary = told.temporary;
    this.requestId = told.requestId;
  }
}

/** Parameters of a query; those without a value are left out. */
export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** One request. */
export interface Wanted {
  readonly method?: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly query?: Query;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/** Asks the server that the page came from, and shows it the operator key. */
export class Requester {
  readonly #key: () => string | undefined;
  readonly #refused: () => void;

  /** `refused` hears that the server does not take the key. */
  constructor(key: () => string | undefined, refused: () => void) {
    this.#key = key;
    this.#refused = refused;
  }

  /** Asks, and gives the answer if it is a success. Throws `ApiError` otherwise. */
  async answer(wanted: Wanted): Promise<Response> {
    const response = await fetch(addressOf(wanted), this.#init(wanted)).catch((error: unknown) => {
      throw unreachable(error);
    });
    if (response.ok) return response;
    if (response.status === 401) this.#refused();
    throw await refusal(response);
  }

  /** Asks for JSON. What comes is trusted to be of `Answer`'s shape: page and server are one build. */
  async json<Answer>(wanted: Wanted): Promise<Answer> {
    const response = await this.answer(wanted);
    const parsed: unknown = await response.json().catch((error: unknown) => {
      throw unreachable(error);
    });
    // The server that answers is the one that this page is embedded in, so the shapes are known.
    return parsed as Answer;
  }

  #init(wanted: Wanted): RequestInit {
    const headers: Record<string, string> = { ...wanted.headers };
    const key = this.#key();
    if (key !== undefined) headers.authorization = `Bearer ${key}`;
    if (wanted.body !== undefined) headers["content-type"] = "application/json";
    return {
      method: wanted.method ?? "GET",
      headers,
      cache: "no-store",
      ...(wanted.body === undefined ? {} : { body: JSON.stringify(wanted.body) }),
      ...(wanted.signal === undefined ? {} : { signal: wanted.signal }),
    };
  }
}

/** Whether somebody stopped it themselves, by leaving the page for instance. */
export function isAborted(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** Any error in the words of one kind. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const message = error instanceof Error ? error.message : String(error);
  // Errors of the SDK have the codes of the server, and some of their own.
  const told = error instanceof Error && "code" in error ? error.code : undefined;
  const code = typeof told === "string" ? told : "page_fault";
  return new ApiError({ code, message, status: 0, temporary: false });
}

function addressOf(wanted: Wanted): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(wanted.query ?? {})) {
    if (value !== undefined && value !== "") query.set(name, String(value));
  }
  const search = query.toString();
  return search === "" ? wanted.path : `${wanted.path}?${search}`;
}

function unreachable(error: unknown): unknown {
  if (isAborted(error)) return error;
  const message = "the server does not answer: it may be restarting, or the network is down";
  return new ApiError({ code: "unreachable", message, status: 0, temporary: true });
}

async function refusal(response: Response): Promise<ApiError> {
  const told: unknown = await response.json().catch(() => undefined);
  const field = (name: string): unknown =>
    typeof told === "object" && told !== null ? Reflect.get(told, name) : undefined;
  const code = field("code");
  const detail = field("detail");
  const requestId = field("request_id");
  return new ApiError({
    code: typeof code === "string" ? code : `http_${response.status}`,
    message: typeof detail === "string" ? detail : `the server answered ${response.status}`,
    status: response.status,
    temporary: field("temporary") === true,
    requestId: typeof requestId === "string" ? requestId : undefined,
  });
}
