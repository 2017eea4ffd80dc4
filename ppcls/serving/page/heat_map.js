// What a heat map looks like.

import { percent } from "./answer.js";
import { element, isTiny } from "./dom.js";

/** The heat map in words. */
export function describe(map) {
  const most = Math.max(...map.heat.flat());
  const label = map.label_name ?? `class ${map.class_id}`;
  if (most <= 0) return `Covering any one part does not lower the score of “${label}”.`;
  return `Covering the part with the most colour takes “${label}” from ${percent(map.score)} to ${percent(map.score - most)}.`;
}

/** The picture with the heat on it; the heat alone where the model sees no picture. */
export async function heatMap(map) {
  if (!map.overlay) return drawn(map);
  const picture = element("img", "heat");
  picture.alt = describe(map);
  picture.src = map.overlay;
  await picture.decode();
  return picture;
}

async function drawn(map) {
  const grid = map.heat.length;
  const most = Math.max(1e-9, ...map.heat.flat());
  const small = element("canvas");
  small.width = small.height = grid;
  const pixels = new ImageData(grid, grid);
  map.heat.flat().forEach((drop, cell) => {
    pixels.data.set([220, 20, 20, 190 * Math.max(0, drop / most)], 4 * cell);
  });
  small.getContext("2d").putImageData(pixels, 0, 0);

  const canvas = element("canvas", "heat");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", describe(map));
  const picture = new Image();
  if (map.image) {
    picture.src = map.image;
    await picture.decode();
  }
  const scale = Math.max(1, Math.round(224 / Math.max(1, picture.naturalWidth)));
  canvas.width = scale * (picture.naturalWidth || 224);
  canvas.height = scale * (picture.naturalHeight || 224);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = !isTiny(picture);
  if (map.image) context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = true;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  return canvas;
}
