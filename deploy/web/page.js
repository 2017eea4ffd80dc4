// The page: loads model.onnx, or what ?model= names, and classifies the chosen image.

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs";
import { Classifier } from "./model.js";

const [file, status, preview, classes] = ["file", "status", "preview", "classes"].map((id) => document.getElementById(id));

/** Returns the pixels of an image file as they are stored: no colour management, as in training. */
async function decode(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, width, height).data;
  const data = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    for (let channel = 0; channel < 3; channel++) data[to++] = rgba[from + channel];
  }
  return { width, height, data };
}

async function load() {
  const address = new URLSearchParams(location.search).get("model") ?? "model.onnx";
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: ${answer.status} ${answer.statusText}`);
  return Classifier.load(ort, new Uint8Array(await answer.arrayBuffer()));
}

async function show(classifier, chosen) {
  status.textContent = "Classifying.";
  classes.replaceChildren();
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(chosen);
  preview.alt = chosen.name;
  preview.hidden = false;
  const started = performance.now();
  const found = await classifier.classify(await decode(chosen));
  for (const { classId, score, name } of found) {
    const item = document.createElement("li");
    item.textContent = `${name}: ${(100 * score).toFixed(2)} %`;
    Object.assign(item.dataset, { classId, score });
    classes.append(item);
  }
  status.textContent = `${chosen.name}: ${Math.round(performance.now() - started)} ms`;
}

const complain = (error) => (status.textContent = `Error: ${error.message}`);

try {
  const classifier = await load();
  file.addEventListener("change", () => file.files[0] && show(classifier, file.files[0]).catch(complain));
  file.disabled = false;
  status.textContent = "Choose an image.";
} catch (error) {
  complain(error);
}
