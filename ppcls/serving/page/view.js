// What a result looks like.

import { labelOf, NO_CLASS, percent, whyUnsure } from "./answer.js";
import { element, photo } from "./dom.js";
import { describe, heatMap } from "./heat_map.js";

function bars(result, multilabel) {
  const list = element("ol", "classes");
  result.class_ids.forEach((_, place) => {
    const item = element("li", multilabel || place === 0 ? "answer" : "");
    const fill = element("span", "fill");
    fill.style.width = `${100 * Math.min(1, Math.max(0, result.scores[place]))}%`;
    const score = percent(result.scores[place]);
    item.append(fill, element("span", "label", labelOf(result, place)), element("span", "score", score));
    list.append(item);
  });
  if (!result.class_ids.length) list.append(element("li", "answer none", NO_CLASS));
  return list;
}

export class ResultView {
  constructor(file) {
    this.name = file.name;
    this.url = URL.createObjectURL(file);
    this.root = element("li", "result");
    this.figure = element("div", "figure");
    this.picture = photo(this.url, "lazy");
    this.picture.decoding = "async";
    this.picture.addEventListener("error", () => this.picture.remove());
    this.figure.append(this.picture);
    this.body = element("div");
    this.note = element("p", "note", "waiting…");
    this.body.append(element("h2", "", file.name), this.note);
    this.root.append(this.figure, this.body);
  }

  showResult(answer, info) {
    const times = answer.milliseconds;
    const model = `model ${times.model.toFixed(0)}, server ${times.total.toFixed(0)}`;
    this.say(`${answer.roundTrip.toFixed(0)} ms (${model})`);
    const [result] = answer.results;
    const unsure = whyUnsure(result, info);
    this.note.before(bars(result, info.multilabel));
    if (unsure) this.note.before(element("p", "unsure", unsure));
    if (result.attributes) this.note.before(element("p", "attributes", result.attributes.join(", ")));
  }

  /** Scroll the answer into the window, where it is not. */
  async reveal() {
    this.picture.loading = "eager";
    await this.picture.decode().catch(() => {}); // one that cannot be shown takes no room
    this.root.scrollIntoView({ block: "nearest" });
  }

  say(text, kind = "note") {
    this.note.className = kind;
    this.note.textContent = text;
  }

  // A button that calls for the heat map once, then shows and hides it.
  offerExplanation(explain) {
    const button = element("button", "explain", "Explain");
    button.setAttribute("aria-label", `Explain ${this.name}`);
    const note = element("p", "note explanation");
    note.setAttribute("role", "status");
    let heat = null;
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", async () => {
      if (button.hasAttribute("aria-disabled")) return; // a second click would ask for a second map
      const show = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(show));
      try {
        if (show && !heat) {
          button.setAttribute("aria-disabled", "true"); // "disabled" would take the keyboard's focus away
          note.textContent = "covering one part of the picture after the other…";
          const map = await explain((text) => {
            note.textContent = text;
          });
          heat = await heatMap(map);
          this.figure.append(heat);
          note.dataset.text = describe(map);
        }
      } catch (error) {
        button.setAttribute("aria-pressed", "false");
        note.textContent = error.message;
        return;
      } finally {
        button.removeAttribute("aria-disabled");
      }
      const shown = button.getAttribute("aria-pressed") === "true";
      heat?.toggleAttribute("hidden", !shown);
      this.picture.toggleAttribute("hidden", shown);
      note.textContent = shown ? note.dataset.text : "";
    });
    this.body.append(button, note);
  }

  remove() {
    URL.revokeObjectURL(this.url);
    this.root.remove();
  }
}
