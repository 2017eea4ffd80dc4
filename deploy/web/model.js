// A self-contained ONNX model of ppcls: what it says about itself, and its answers. The same in the browser and in Node.

import { preprocess } from "./preprocess.js";

// Fields of onnx.proto, and the metadata's entry that `ppcls export` writes.
const METADATA = 14;
const KEY = 1;
const VALUE = 2;
const ENTRY = "ppcls";

/** Yields [field number, bytes] of a protocol buffers message; numbers are skipped. */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      if (at >= bytes.length) throw new Error("the ONNX file was cut short");
      const byte = bytes[at++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const kind = tag & 7;
    if (kind === 0) varint();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else if (kind === 2) {
      const length = varint();
      if (at + length > bytes.length) throw new Error("the ONNX file was cut short");
      yield [Math.floor(tag / 8), bytes.subarray(at, at + length)];
      at += length;
    } else throw new Error("this is no ONNX file");
  }
}

/** Returns what inference.yml says, from the model's own metadata. */
export function describe(bytes) {
  const text = new TextDecoder();
  for (const [number, entry] of fields(bytes)) {
    if (number !== METADATA) continue;
    const pair = new Map([...fields(entry)].map(([key, value]) => [key, text.decode(value)]));
    if (pair.get(KEY) === ENTRY) return JSON.parse(pair.get(VALUE));
  }
  throw new Error("the model was not exported by ppcls: it has no description");
}

/** A loaded model. `ort` is onnxruntime-web or onnxruntime-node. */
export class Classifier {
  static async load(ort, bytes, options = {}) {
    const description = describe(bytes);
    const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 3, ...options });
    if (session.inputNames[0] !== "pixels") {
      throw new Error("not a self-contained model: take inference_self_contained.onnx, of `ppcls export --self-contained`");
    }
    const [postprocess] = Object.keys(description.PostProcess);
    if (postprocess !== "Topk") {
      throw new Error(`the answers of this model are made by ${postprocess}: this example does not know it; add it to model.js`);
    }
    return new Classifier(ort, session, description);
  }

  constructor(ort, session, description) {
    this.ort = ort;
    this.session = session;
    this.ops = description.PreProcess.transform_ops;
    this.topk = description.PostProcess.Topk.topk;
    this.names = description.PostProcess.Topk.label_list ?? [];
  }

  /**
   * Returns the best classes of one image, the best one first: [{classId, score, name}].
   * `image` is {width, height, data}, RGB, one byte per channel.
   */
  async classify(image, topk = this.topk) {
    const { width, height, data } = preprocess(image, this.ops);
    const pixels = new this.ort.Tensor("uint8", data, [1, height, width, 3]);
    const answers = await this.session.run({ pixels });
    const scores = Array.from(answers[this.session.outputNames[0]].data);
    return scores
      .map((score, classId) => ({ classId, score, name: this.names[classId] ?? String(classId) }))
      .sort((one, other) => other.score - one.score || one.classId - other.classId)
      .slice(0, topk);
  }
}
