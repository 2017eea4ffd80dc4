// The pictures that were exported with the model, to click.

import { element, find, photo } from "./dom.js";
import { ask } from "./server.js";

const { signal } = new AbortController(); // never aborted
const SHOWN_NAMES = 5; // in the hint
let state = "unknown"; // then "loading", "shown" or "failed"

/** Show the server's examples once; a click gives one to `add` as a file. Without any, say what the model knows. */
export async function showExamples({ examples: count, class_names: names }, add) {
  if (!count) {
    find("hint-classes").textContent = names ? `It tells ${namesOf(names)} apart.` : "";
    find("hint").hidden = false;
  }
  if (!count || state === "loading" || state === "shown") return;
  state = "loading";
  const note = find("examples-note");
  try {
    const { examples } = await ask("examples", { signal, tell: () => {} });
    find("examples-list").replaceChildren(...examples.map((example, place) => itemOf(example, place + 1, add)));
    note.textContent = "";
    state = "shown";
  } catch (error) {
    note.textContent = `The examples cannot be loaded: ${error.message}`;
    state = "failed";
  }
  note.hidden = state === "shown";
  find("examples").hidden = false;
}

// "a, b and c"; of many the first few, and how many more.
function namesOf(names) {
  const shown = names.length <= SHOWN_NAMES ? names.slice(0, -1) : names.slice(0, SHOWN_NAMES - 1);
  const rest = names.length - shown.length;
  const last = rest === 1 ? `“${names.at(-1)}”` : `${rest} other classes`;
  return `${shown.map((name) => `“${name}”`).join(", ")} and ${last}`;
}

function itemOf({ class_ids: ids, label_names: names, image }, number, add) {
  const label = (names.length ? names : ids.map((id) => `class ${id}`)).join(", ") || "no class";
  const button = element("button", "example");
  button.type = "button";
  button.append(photo(image), element("span", "", label));
  button.addEventListener("click", () => add([fileOf(image, `example ${number}, ${label}.jpg`)]));
  const item = element("li");
  item.append(button);
  return item;
}

// Not by fetch: the page's policy lets it connect to the server only.
function fileOf(dataUrl, name) {
  const bytes = Uint8Array.from(atob(dataUrl.slice(dataUrl.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
  return new File([bytes], name, { type: "image/jpeg" });
}
