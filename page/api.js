// How the page talks to its server: JSON, streams, and errors as sentences. It has no key: a cookie that no script
// can read says who is signed in.

// An error, in words that say what to do. `status` is 0 if no answer came.
export class Problem extends Error {
  constructor(message, status = 0, code = "") {
    super(message);
    this.status = status;
    this.code = code;
  }
  // The server has no such route: an older one, or a part that was left out.
  get isMissingRoute() {
    return (this.status === 404 && this.code === "route_not_found") || this.status === 405 || this.status === 501;
  }
}

let signedOut = () => {};
// `fn` is called when an answer says that nobody is signed in.
export function onSignedOut(fn) {
  signedOut = fn;
}

async function problemOf(response) {
  let error = {};
  try {
    const body = await response.json();
    error = typeof body.error === "string" ? { message: body.error } : body.error ?? {};
  } catch {
    // An answer without JSON comes from a proxy between the server and the browser.
  }
  const message = error.message ?? `The server answered ${response.status} and did not say why.`;
  return new Problem(message, response.status, error.code ?? "");
}

// The answer as a stream. Throws a Problem.
export async function send(method, path, { body, headers = {}, signal } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      signal,
      headers: body === undefined ? headers : { "Content-Type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer. Is it running, and is the network up? The page tries again by itself.");
  }
  if (response.ok) return response;
  if (response.status === 401) signedOut();
  throw await problemOf(response);
}

export async function call(method, path, options) {
  return (await send(method, path, options)).json();
}

export const modelPath = (id) => `v1/models/${encodeURIComponent(id)}`;

// The text of an answer, piece by piece.
async function* pieces(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

// The lines of an answer, one by one as they come.
export async function* lines(response) {
  let rest = "";
  for await (const piece of pieces(response)) {
    const parts = (rest + piece).split("\n");
    rest = parts.pop();
    yield* parts;
  }
  if (rest) yield rest;
}
