// Resizing and cropping as ppcls does it in training and evaluation. Normalization is inside a self-contained model.
// An image is {width, height, data}, RGB, one byte per channel.

const INSIDE_THE_MODEL = ["NormalizeImage", "ToCHWImage"];

/** Returns the image that the model takes; `ops` is PreProcess.transform_ops of the model's description. */
export function preprocess(image, ops) {
  for (const op of ops) {
    const [[name, options]] = Object.entries(op);
    const values = options ?? {};
    if (name === "ResizeImage") image = resizeImage(image, values);
    else if (name === "CropImage") image = cropImage(image, values);
    else if (name === "DecodeImage" && values.to_rgb !== false && !values.channel_first && (values.channels ?? 3) === 3) continue;
    else if (!INSIDE_THE_MODEL.includes(name)) {
      throw new Error(`${name} ${JSON.stringify(values)}: this example does not know it; add it to preprocess.js`);
    }
  }
  return image;
}

const pair = (size) => (Array.isArray(size) ? size : [size, size]);

function resizeImage(image, { size, resize_short: short, interpolation, backend }) {
  const [width, height] = size == null ? byShortSide(image, short, backend) : pair(size);
  return resize(image, width, height, interpolation ?? "bilinear", backend ?? "cv2");
}

function byShortSide({ width, height }, short, backend) {
  if (backend !== "pil") {
    const ratio = short / Math.min(width, height);
    return [width, height].map((side) => Math.max(1, roundHalfToEven(side * ratio)));
  }
  const long = Math.floor((short * Math.max(width, height)) / Math.min(width, height));
  return width <= height ? [short, long] : [long, short];
}

function cropImage(image, { size, backend }) {
  const [width, height] = pair(size);
  if (image.width < width || image.height < height) {
    throw new Error(`an image of ${image.width} x ${image.height} cannot be cropped to ${width} x ${height}`);
  }
  const half = (rest) => (backend === "pil" ? roundHalfToEven(rest / 2) : Math.floor(rest / 2));
  const left = half(image.width - width);
  const top = half(image.height - height);
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * image.width + left) * 3;
    data.set(image.data.subarray(start, start + width * 3), y * width * 3);
  }
  return { width, height, data };
}

// As Python rounds.
function roundHalfToEven(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

const triangle = { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) };

// Keys' cubic convolution.
const cubic = (a) => ({
  support: 2,
  at(x) {
    x = Math.abs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
  },
});

const FILTERS = {
  cv2: { bilinear: triangle, bicubic: cubic(-0.75) },
  pil: { bilinear: triangle, bicubic: cubic(-0.5) },
};

// Pillow's weights are integers of this many binary digits.
const PRECISION = 2 ** 22;

/**
 * Returns the image in another size.
 *
 * "pil" averages over all pixels that the smaller image leaves out, gives weights as integers, and rounds to bytes after
 * each direction: exactly Pillow's pixels. "cv2" looks at the nearest pixels only; OpenCV itself rounds weights to 1/2048,
 * so that pixels can differ from its by one level.
 */
export function resize(image, width, height, interpolation, backend) {
  if (image.width === width && image.height === height) return image;
  const filter = FILTERS[backend]?.[interpolation];
  if (!filter) throw new Error(`interpolation ${interpolation} of ${backend}: this example does not know it`);
  const pillow = backend === "pil";
  const find = pillow ? pillowTaps : opencvTaps;
  const between = new (pillow ? Uint8ClampedArray : Float64Array)(width * image.height * 3);
  const data = new Uint8ClampedArray(width * height * 3);
  const finish = pillow ? (sum) => Math.floor(sum / PRECISION + 0.5) : (sum) => sum;
  convolve(image.data, between, find(image.width, width, filter), image.width, 3, finish);
  convolve(between, data, find(image.height, height, filter), image.height, width * 3, finish);
  return { width, height, data: new Uint8Array(data.buffer) };
}

/** Which pixels of a side make each of the smaller or larger side's, and how much of each. */
function pillowTaps(size, target, filter) {
  const scale = size / target;
  const stretch = Math.max(scale, 1);
  return Array.from({ length: target }, (_, index) => {
    const centre = (index + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - filter.support * stretch + 0.5));
    const last = Math.min(size, Math.trunc(centre + filter.support * stretch + 0.5));
    const places = Array.from({ length: last - first }, (_, offset) => first + offset);
    const parts = places.map((place) => filter.at((place + 0.5 - centre) / stretch));
    const sum = parts.reduce((total, part) => total + part, 0);
    return { places, parts: parts.map((part) => awayFromZero((part / sum) * PRECISION)) };
  });
}

function opencvTaps(size, target, filter) {
  const scale = size / target;
  return Array.from({ length: target }, (_, index) => {
    const centre = (index + 0.5) * scale - 0.5;
    const first = Math.floor(centre) - filter.support + 1;
    const places = Array.from({ length: 2 * filter.support }, (_, offset) => first + offset);
    return {
      // Beyond the border the outermost pixel repeats.
      places: places.map((place) => Math.min(Math.max(place, 0), size - 1)),
      parts: places.map((place) => filter.at(place - centre)),
    };
  });
}

const awayFromZero = (value) => Math.sign(value) * Math.floor(Math.abs(value) + 0.5);

/** Sums along the middle one of three axes: `source` is [.., size, inner], `target` [.., taps.length, inner]. */
function convolve(source, target, taps, size, inner, finish) {
  const outer = source.length / (size * inner);
  for (let o = 0; o < outer; o++) {
    taps.forEach(({ places, parts }, t) => {
      for (let i = 0; i < inner; i++) {
        let sum = 0;
        for (let k = 0; k < places.length; k++) sum += parts[k] * source[(o * size + places[k]) * inner + i];
        target[(o * taps.length + t) * inner + i] = finish(sum);
      }
    });
  }
}
