// The photos on the page: which are sent, which wait, and what came of them.

import { inWords } from "./answer.js";
import { toCsv } from "./csv.js";
import { find } from "./dom.js";
import { loadModel, model } from "./model.js";
import { ask, KeyError, TransientError } from "./server.js";
import { ResultView } from "./view.js";

const AT_A_TIME = 3;

let shown = []; // what entryOf makes, in the order in which photos were added
let waiting = []; // those of them that are to be sent
let latest = []; // those that were added last
let running = 0;

function entryOf(file) {
  return { file, view: new ResultView(file), result: null, transient: false, waits: "", left: new AbortController() };
}

/** Classify files. The latest stand first, so that their answers need no scrolling. */
export function add(files) {
  if (!files.length) return;
  latest = [...files].map(entryOf);
  shown.push(...latest);
  waiting.push(...latest);
  find("results").prepend(...latest.map((entry) => entry.view.root));
  if (model.state === "away") loadModel();
  sendWaiting();
}

function sendWaiting() {
  report();
  while (model.state === "ready" && running < AT_A_TIME && waiting.length) work();
}

async function work() {
  running += 1;
  while (model.state === "ready" && waiting.length) {
    await classify(waiting.shift());
    report();
  }
  running -= 1;
}

async function classify(entry) {
  const { file, view } = entry;
  const { signal } = entry.left;
  const tell = (text) => {
    entry.waits = text;
    view.say(text);
    report();
  };
  try {
    const answer = await ask(`predict${model.query}`, { file, signal, tell });
    entry.result = { ...answer.results[0], file_name: file.name };
    view.showResult(answer, model.info);
    if (model.info.saliency) {
      // Where no class is above its threshold, the likeliest one is explained.
      const [best] = answer.results[0].class_ids;
      const what = best === undefined ? "" : `?class_id=${best}`;
      view.offerExplanation((say) => ask(`saliency${what}`, { file, signal, tell: say }));
    }
    if (latest.length === 1 && latest[0] === entry) view.reveal();
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof KeyError) {
      waiting.unshift(entry);
      view.say("waiting…");
      return;
    }
    entry.result = { file_name: file.name, error: error.message };
    entry.transient = error instanceof TransientError;
    view.say(error.message, "error");
  } finally {
    entry.waits = "";
  }
}

export function tryAgain() {
  for (const entry of shown.filter((candidate) => candidate.transient)) {
    entry.result = null;
    entry.transient = false;
    entry.view.say("waiting…");
    waiting.push(entry);
  }
  if (model.state === "away") loadModel();
  find("choose").focus(); // this button goes
  sendWaiting();
}

// What is read out: the count, what is waited for, and the answer where it is one photo's.
function summary() {
  if (!shown.length) return "";
  const done = shown.filter((entry) => entry.result);
  const failed = done.filter((entry) => entry.result.error !== undefined).length;
  const parts = [`${done.length} of ${shown.length} done${failed ? `, ${failed} failed` : ""}`];
  const waits = shown.find((entry) => entry.waits)?.waits;
  if (model.state === "locked" && waiting.length) parts.push("waiting for the API key");
  else if (waits) parts.push(waits);
  if (latest.length === 1 && latest[0].result) {
    parts.push(`${latest[0].file.name}: ${inWords(latest[0].result, model.info)}`);
  }
  return parts.join("; ");
}

function report() {
  const text = summary();
  if (find("status").textContent !== text) find("status").textContent = text; // else it is read out again
  find("again").hidden = model.state !== "away" && !shown.some((entry) => entry.transient);
  find("download").disabled = !shown.some((entry) => entry.result);
  find("clear").disabled = !shown.length;
  find("empty").hidden = shown.length > 0;
}

export function download() {
  const csv = toCsv(shown.filter((entry) => entry.result).map((entry) => entry.result));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
  link.download = "predictions.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

export function clear() {
  for (const entry of shown) {
    entry.left.abort();
    entry.view.remove();
  }
  shown = [];
  waiting = [];
  latest = [];
  report();
  find("choose").focus();
}

model.addEventListener("change", sendWaiting);
