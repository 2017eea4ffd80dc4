// The model that is served: what it is, and whether it can be asked.

import { find } from "./dom.js";
import { ask, KeyError, savedKey, server } from "./server.js";

const BARS = 5; // classes in an answer at least, where there are so many

/**
 * Gets an event "change" when `state` changes: "loading", "locked" without a key, "away" or "ready".
 * `info` is the server's answer to GET /model, `query` what to ask of POST /predict.
 */
export const model = Object.assign(new EventTarget(), { state: "loading", info: null, query: "" });

let loading = new AbortController();

function change(state) {
  model.state = state;
  model.dispatchEvent(new Event("change"));
}

export function tell(text) {
  find("model").textContent = text;
}

const tellSentence = (text) => tell(`${text[0].toUpperCase()}${text.slice(1)}.`);

server.addEventListener("locked", () => {
  find("key-form").hidden = false;
  tell(savedKey() ? "The server does not know this key." : "Enter the key.");
  change("locked");
});

/** Show what is served. */
export async function loadModel() {
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  change("loading");
  try {
    const info = await ask("model", { signal, tell: tellSentence });
    find("key-form").hidden = true;
    // Without topk, thresholds choose the classes.
    model.query = info.topk === null ? "" : `?topk=${Math.min(Math.max(BARS, info.topk), info.class_num)}`;
    model.info = info;
    tell(`${info.model}, ${info.class_num} classes`);
    document.title = `${info.model}: classify photos`;
    change("ready");
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof KeyError) {
      find("key").focus();
      return;
    }
    tellSentence(error.message);
    change("away");
  }
}
