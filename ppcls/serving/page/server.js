// Requests to the server, tried again where that may help.

const TRIES = 6;
const LONGEST = 60; // seconds; who is told to wait longer decides for himself when to try again
const TRANSIENT = [429, 502, 503, 504]; // full or restarting, also as a proxy says it
const KEY = "ppcls-api-key";

/** Gets an event "locked" when the server refuses the key, or asks for one. */
export const server = new EventTarget();

export class TransientError extends Error {
  constructor(message, seconds = 0) {
    super(message);
    this.seconds = seconds; // to wait at least
  }
}

export class KeyError extends Error {}

export const savedKey = () => sessionStorage.getItem(KEY);
export const saveKey = (key) => sessionStorage.setItem(KEY, key);

function pause(seconds, signal) {
  return new Promise((done, fail) => {
    const timer = setTimeout(done, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      fail(signal.reason);
    });
  });
}

// Retry-After is a number of seconds or a date.
function secondsToWait(response) {
  const value = response.headers.get("Retry-After") ?? "0";
  const seconds = Number(value);
  return Number.isNaN(seconds) ? Math.ceil((Date.parse(value) - Date.now()) / 1000) || 0 : seconds;
}

async function networkError(file, signal) {
  if (signal.aborted) return signal.reason;
  const readable = await file?.arrayBuffer().catch(() => null);
  if (readable === null) return new Error("the photo cannot be read: it was changed or removed after it was chosen");
  return new TransientError("the server cannot be reached");
}

/** Ask once; resolves to the server's JSON, with the milliseconds that it took. */
async function send(path, file, signal) {
  const key = savedKey();
  const options = { headers: key ? { "X-API-Key": key } : {}, signal };
  if (file) {
    options.method = "POST";
    options.body = new FormData();
    options.body.append("file", file);
  }
  const begun = performance.now();
  let response, text;
  try {
    response = await fetch(path, options);
    text = await response.text();
  } catch {
    throw await networkError(file, signal);
  }
  if (response.status === 401) {
    if (key !== savedKey()) return send(path, file, signal); // another was entered meanwhile
    server.dispatchEvent(new Event("locked"));
  }
  let answer = { error: `the server answered ${response.status}` };
  try {
    answer = JSON.parse(text);
  } catch {
    if (response.ok) throw new Error("the server's answer is not JSON");
  }
  if (response.ok) return { ...answer, roundTrip: performance.now() - begun };
  const message = answer.results?.[0]?.error ?? answer.error;
  if (response.status === 401) throw new KeyError(message);
  throw TRANSIENT.includes(response.status) ? new TransientError(message, secondsToWait(response)) : new Error(message);
}

/** Ask until there is an answer or an error that stays; `tell` gets what is waited for. */
export async function ask(path, { file, signal, tell }) {
  for (let trial = 1; ; trial += 1) {
    try {
      return await send(path, file, signal);
    } catch (error) {
      const again = error instanceof TransientError && trial < TRIES && error.seconds <= LONGEST;
      if (!again) throw error;
      signal.throwIfAborted();
      const seconds = Math.max(2 ** (trial - 1), error.seconds);
      tell(`${error.message}; trying again in ${seconds} s`);
      await pause(seconds, signal);
    }
  }
}
