// Classifies image files in Node: node classify.mjs MODEL.onnx IMAGE...   One line of JSON per image, with its classes or an error.

import { readFile } from "node:fs/promises";
import * as ort from "onnxruntime-node";
import sharp from "sharp";
import { Classifier } from "./model.js";

sharp.block({ operation: ["VipsForeignLoadSvg"] }); // a drawing has no pixels, and ppcls refuses it

async function decode(path) {
  // The EXIF orientation is applied and transparency dropped, as ppcls does.
  const pixels = sharp(path).rotate().toColourspace("srgb").removeAlpha().raw();
  const { data, info } = await pixels.toBuffer({ resolveWithObject: true });
  if (info.channels !== 3) throw new Error(`${info.channels} channels, not RGB`);
  return { width: info.width, height: info.height, data };
}

/** The classes of one file; a broken one does not stop the others. */
async function answer(classifier, path) {
  try {
    const found = await classifier.classify(await decode(path));
    return { classes: found.map(({ classId, score, name }) => ({ class_id: classId, score, name })) };
  } catch (error) {
    process.exitCode = 2;
    return { error: error.message };
  }
}

const [model, ...images] = process.argv.slice(2);
if (!model || images.length === 0) {
  console.error("usage: node classify.mjs MODEL.onnx IMAGE...");
  process.exit(2);
}
try {
  const classifier = await Classifier.load(ort, await readFile(model));
  for (const path of images) console.log(JSON.stringify({ file: path, ...(await answer(classifier, path)) }));
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 2;
}
