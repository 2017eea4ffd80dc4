import { toCsv } from "./csv.js";
import { inWords, ResultView } from "./view.js";

const AT_A_TIME = 3;
const TRIES = 6;
const LONGEST = 60; // seconds; who is told to wait longer decides for himself when to try again
const TRANSIENT = [429, 502, 503, 504]; // full or restarting, also as a proxy says it
const KEY = "ppcls-api-key";
const BARS = 5; // at least, where there are so many classes
const find = (id) => document.getElementById(id);

let shown = []; // what entryOf makes, in the order in which photos were added
let waiting = []; // those of them that are to be sent
let latest = []; // those that were added last
let running = 0;
let state = "loading"; // the model: "loading", "locked" without a key, "away" or "ready"
let loading = new AbortController();
let explains = false;
let query = "";
let multilabel = false;

class TransientError extends Error {
  constructor(message, seconds = 0) {
    super(message);
    this.seconds = seconds; // to wait at least
  }
}

class KeyError extends Error {}

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
  const key = sessionStorage.getItem(KEY);
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
    if (key !== sessionStorage.getItem(KEY)) return send(path, file, signal); // another was entered meanwhile
    askForKey();
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
async function ask(path, { file, signal, tell }) {
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

function askForKey() {
  state = "locked";
  find("key-form").hidden = false;
  find("model").textContent = sessionStorage.getItem(KEY) ? "The server does not know this key." : "Enter the key.";
  report();
}

/** Show what is served, then send what waits. */
async function loadModel() {
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  const tell = (text) => {
    find("model").textContent = `${text[0].toUpperCase()}${text.slice(1)}.`;
  };
  state = "loading";
  report();
  try {
    const answer = await ask("model", { signal, tell });
    find("key-form").hidden = true;
    explains = answer.saliency;
    multilabel = answer.multilabel;
    // Without topk, thresholds choose the classes.
    query = answer.topk === null ? "" : `?topk=${Math.min(Math.max(BARS, answer.topk), answer.class_num)}`;
    find("model").textContent = `${answer.model}, ${answer.class_num} classes`;
    state = "ready";
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof KeyError) {
      find("key").focus();
      return;
    }
    state = "away";
    tell(error.message);
  }
  sendWaiting();
}

function entryOf(file) {
  return { file, view: new ResultView(file), result: null, transient: false, waits: "", left: new AbortController() };
}

function add(files) {
  latest = [...files].map(entryOf);
  if (!latest.length) return;
  shown.push(...latest);
  waiting.push(...latest);
  find("results").append(...latest.map((entry) => entry.view.root));
  if (state === "away") loadModel();
  sendWaiting();
}

function sendWaiting() {
  report();
  while (state === "ready" && running < AT_A_TIME && waiting.length) work();
}

async function work() {
  running += 1;
  while (state === "ready" && waiting.length) {
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
    const answer = await ask(`predict${query}`, { file, signal, tell });
    entry.result = { ...answer.results[0], file_name: file.name };
    view.showResult(answer);
    if (explains) {
      // Where no class is above its threshold, the likeliest one is explained.
      const [best] = answer.results[0].class_ids;
      const what = best === undefined ? "" : `?class_id=${best}`;
      view.offerExplanation((say) => ask(`saliency${what}`, { file, signal, tell: say }));
    }
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

function tryAgain() {
  for (const entry of shown.filter((candidate) => candidate.transient)) {
    entry.result = null;
    entry.transient = false;
    entry.view.say("waiting…");
    waiting.push(entry);
  }
  if (state === "away") loadModel();
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
  if (state === "locked" && waiting.length) parts.push("waiting for the API key");
  else if (waits) parts.push(waits);
  if (latest.length === 1 && latest[0].result) parts.push(`${latest[0].file.name}: ${inWords(latest[0].result, multilabel)}`);
  return parts.join("; ");
}

function report() {
  const text = summary();
  if (find("status").textContent !== text) find("status").textContent = text; // else it is read out again
  find("again").hidden = state !== "away" && !shown.some((entry) => entry.transient);
  find("download").disabled = !shown.some((entry) => entry.result);
  find("clear").disabled = !shown.length;
}

function download() {
  const csv = toCsv(shown.filter((entry) => entry.result).map((entry) => entry.result));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
  link.download = "predictions.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function clear() {
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

function takeFrom(input) {
  add(input.files);
  input.value = ""; // the same file may be chosen again
}

// A phone opens its own camera from a file input; elsewhere the page shows one, where the browser lets it.
async function openCamera() {
  const touch = matchMedia("(pointer: coarse)").matches;
  if (touch || !navigator.mediaDevices) {
    find("capture").click();
    return;
  }
  if (find("shoot").hasAttribute("aria-disabled")) return; // a second click would interrupt the first
  find("shoot").setAttribute("aria-disabled", "true");
  try {
    find("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    await find("video").play();
    find("camera").showModal();
  } catch (error) {
    closeCamera();
    find("status").textContent = `The camera cannot be used: ${error.message}`;
  } finally {
    find("shoot").removeAttribute("aria-disabled");
  }
}

function closeCamera() {
  find("video").srcObject?.getTracks().forEach((track) => track.stop());
  find("video").srcObject = null;
}

function snap() {
  const video = find("video");
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => {
    add([new File([blob], `camera ${new Date().toLocaleTimeString()}.jpg`, { type: "image/jpeg" })]);
    find("camera").close();
  }, "image/jpeg", 0.92);
}

find("choose").addEventListener("click", () => find("files").click());
find("shoot").addEventListener("click", openCamera);
find("snap").addEventListener("click", snap);
find("close").addEventListener("click", () => find("camera").close());
find("camera").addEventListener("close", closeCamera);
find("download").addEventListener("click", download);
find("clear").addEventListener("click", clear);
find("again").addEventListener("click", tryAgain);
for (const id of ["files", "capture"]) find(id).addEventListener("change", (event) => takeFrom(event.target));
find("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = find("key").value.trim();
  if (/[^ -~]/.test(key)) {
    find("model").textContent = "A key has only ASCII characters: letters, digits and marks of an English keyboard.";
    return;
  }
  sessionStorage.setItem(KEY, key);
  loadModel().then(() => state === "ready" && find("choose").focus());
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  find("drop").classList.add("over");
});
document.addEventListener("dragleave", () => find("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  find("drop").classList.remove("over");
  add(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => add(event.clipboardData.files));
loadModel();
