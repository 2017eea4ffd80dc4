import { toCsv } from "./csv.js";
import { ResultView } from "./view.js";

const AT_A_TIME = 3;
const TRIES = 6;
const KEY = "ppcls-api-key";
const BARS = 5; // at least, where there are so many classes
const find = (id) => document.getElementById(id);

let shown = []; // {view, result}, in the order in which photos were added
let waiting = [];
let running = 0;
let explains = false;
let query = ""; // until the model is known, what the server shows by itself

function request(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  return fetch(path, { ...options, headers: key ? { "X-API-Key": key } : {} });
}

const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

// Returns the server's JSON. A full server is asked again; what else is wrong is an error with its message.
async function ask(path, file) {
  for (let trial = 1; ; trial += 1) {
    const body = new FormData();
    body.append("file", file);
    const response = await request(path, { method: "POST", body });
    if (response.status === 429 && trial < TRIES) {
      await pause(Number(response.headers.get("Retry-After") ?? 1) * trial);
      continue;
    }
    const answer = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
    if (response.status === 401) askForKey();
    if (!response.ok) throw new Error(answer.results?.[0]?.error ?? answer.error);
    return answer;
  }
}

function askForKey() {
  find("key-form").hidden = false;
}

/** Show what is served; resolves to whether the server let us see it. */
async function loadModel() {
  const response = await request("model");
  const answer = await response.json();
  if (response.status === 401) {
    askForKey();
    find("model").textContent = sessionStorage.getItem(KEY) ? "The server does not know this key." : "Enter the key.";
    find("key").focus();
    return false;
  }
  find("key-form").hidden = true;
  explains = answer.saliency;
  query = `?topk=${Math.min(Math.max(BARS, answer.topk), answer.class_num)}`;
  find("model").textContent = `${answer.model}, ${answer.class_num} classes`;
  return true;
}

function add(files) {
  const pictures = [...files];
  for (const file of pictures) {
    const entry = { file, view: new ResultView(file), result: null };
    shown.push(entry);
    waiting.push(entry);
    find("results").append(entry.view.root);
  }
  report();
  while (running < AT_A_TIME && waiting.length) work();
}

async function work() {
  running += 1;
  while (waiting.length) {
    await classify(waiting.shift());
    report();
  }
  running -= 1;
}

async function classify(entry) {
  const begun = performance.now();
  try {
    const answer = await ask(`predict${query}`, entry.file);
    entry.result = { ...answer.results[0], file_name: entry.file.name };
    entry.view.showResult(answer, performance.now() - begun);
    if (explains) {
      const best = answer.results[0].class_ids[0];
      entry.view.offerExplanation(() => ask(`saliency?class_id=${best}`, entry.file));
    }
  } catch (error) {
    entry.result = { file_name: entry.file.name, error: error.message };
    entry.view.showError(error.message);
  }
}

function report() {
  const done = shown.filter((entry) => entry.result);
  const failed = done.filter((entry) => entry.result.error !== undefined).length;
  const text = `${done.length} of ${shown.length} done${failed ? `, ${failed} failed` : ""}`;
  find("status").textContent = shown.length ? text : "";
  find("download").disabled = !done.length;
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
  shown.forEach((entry) => entry.view.remove());
  shown = [];
  waiting = [];
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
  try {
    find("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    await find("video").play();
    find("camera").showModal();
  } catch (error) {
    find("status").textContent = `The camera cannot be used: ${error.message}`;
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
for (const id of ["files", "capture"]) find(id).addEventListener("change", (event) => takeFrom(event.target));
find("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, find("key").value.trim());
  loadModel().then((known) => known && find("choose").focus());
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
loadModel().catch((error) => {
  find("model").textContent = `The server does not answer: ${error.message}`;
});
