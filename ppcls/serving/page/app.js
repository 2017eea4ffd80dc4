// The page: what happens on which click.

import { closeCamera, openCamera, snap } from "./camera.js";
import { showClasses } from "./classes.js";
import { find } from "./dom.js";
import { showExamples } from "./examples.js";
import { loadModel, model, tell } from "./model.js";
import { add, clear, download, tryAgain } from "./photos.js";
import { saveKey } from "./server.js";

function takeFrom(input) {
  add(input.files);
  input.value = ""; // the same file may be chosen again
}

async function useKey(event) {
  event.preventDefault();
  const key = find("key").value.trim();
  if (/[^ -~]/.test(key)) {
    tell("A key has only ASCII characters: letters, digits and marks of an English keyboard.");
    return;
  }
  saveKey(key);
  await loadModel();
  if (model.state === "ready") find("choose").focus();
}

model.addEventListener("change", () => {
  if (model.state !== "ready") return;
  showClasses(model.info);
  showExamples(model.info, add);
});

for (const [id, work] of [
  ["choose", () => find("files").click()],
  ["shoot", openCamera],
  ["snap", () => snap(add)],
  ["close", () => find("camera").close()],
  ["download", download],
  ["clear", clear],
  ["again", tryAgain],
]) {
  find(id).addEventListener("click", work);
}
find("camera").addEventListener("close", closeCamera);
for (const id of ["files", "capture"]) find(id).addEventListener("change", (event) => takeFrom(event.target));
find("key-form").addEventListener("submit", useKey);
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
