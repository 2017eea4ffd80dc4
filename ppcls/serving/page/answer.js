// The answer for a photo in words.

export const NO_CLASS = "no class is above its threshold";

export const percent = (score) => `${(100 * score).toFixed(1)} %`;

export const labelOf = (result, place) => result.label_names[place] ?? `class ${result.class_ids[place]}`;

/** Why an answer is unsure: the second class is nearer than the server's margin; "" where it is not. */
export function whyUnsure(result, { multilabel, unsure_margin: margin }) {
  if (multilabel || result.scores.length < 2) return "";
  const ahead = result.scores[0] - result.scores[1];
  if (ahead >= margin) return "";
  const behind = `“${labelOf(result, 1)}” is only ${(100 * ahead).toFixed(1)} percentage points behind`;
  return `Unsure: ${behind}. Less than ${Number((100 * margin).toFixed(1))} counts as unsure.`;
}

/** The best class, all of a multi-label model, or what is wrong. */
export function inWords(result, info) {
  if (result.error !== undefined) return result.error;
  const places = result.class_ids.map((_, place) => `${labelOf(result, place)}, ${percent(result.scores[place])}`);
  if (info.multilabel) return places.join("; ") || NO_CLASS;
  return `${places[0] ?? NO_CLASS}${whyUnsure(result, info) ? ", unsure" : ""}`;
}
