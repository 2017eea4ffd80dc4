// What a result looks like. Text is set as text only: names come from anywhere.

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function percent(score) {
  return `${(100 * score).toFixed(1)} %`;
}

const labelOf = (result, place) => result.label_names[place] ?? `class ${result.class_ids[place]}`;

const NO_CLASS = "no class is above its threshold";

/** The best class, all of a multi-label model, or what is wrong. */
export function inWords(result, multilabel) {
  if (result.error !== undefined) return result.error;
  const places = result.class_ids.map((_, place) => `${labelOf(result, place)}, ${percent(result.scores[place])}`);
  return (multilabel ? places.join("; ") : places[0]) || NO_CLASS;
}

function bars(result) {
  const list = element("ol", "classes");
  result.class_ids.forEach((_, place) => {
    const item = element("li");
    const fill = element("span", "fill");
    fill.style.width = `${100 * Math.min(1, Math.max(0, result.scores[place]))}%`;
    const score = percent(result.scores[place]);
    item.append(fill, element("span", "label", labelOf(result, place)), element("span", "score", score));
    list.append(item);
  });
  if (!result.class_ids.length) list.append(element("li", "none", NO_CLASS));
  return list;
}

export class ResultView {
  constructor(file) {
    this.name = file.name;
    this.url = URL.createObjectURL(file);
    this.root = element("li", "result");
    this.figure = element("div", "figure");
    this.picture = element("img");
    this.picture.src = this.url;
    this.picture.alt = "";
    this.picture.loading = "lazy";
    this.picture.decoding = "async";
    this.picture.addEventListener("error", () => this.picture.remove());
    this.figure.append(this.picture);
    this.body = element("div");
    this.note = element("p", "note", "waiting…");
    this.body.append(element("h2", "", file.name), this.note);
    this.root.append(this.figure, this.body);
  }

  showResult(answer) {
    const times = answer.milliseconds;
    const model = `model ${times.model.toFixed(0)}, server ${times.total.toFixed(0)}`;
    this.say(`${answer.roundTrip.toFixed(0)} ms (${model})`);
    const [result] = answer.results;
    this.note.before(bars(result));
    if (result.attributes) this.note.before(element("p", "attributes", result.attributes.join(", ")));
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
    let canvas = null;
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", async () => {
      if (button.hasAttribute("aria-disabled")) return; // a second click would ask for a second map
      const show = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(show));
      try {
        if (show && !canvas) {
          button.setAttribute("aria-disabled", "true"); // "disabled" would take the keyboard's focus away
          note.textContent = "covering one part of the picture after the other…";
          const map = await explain((text) => {
            note.textContent = text;
          });
          canvas = await heatMap(map);
          this.figure.append(canvas);
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
      canvas?.toggleAttribute("hidden", !shown);
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

function describe(map) {
  const most = Math.max(...map.heat.flat());
  const label = map.label_name ?? `class ${map.class_id}`;
  if (most <= 0) return `Covering any one part does not lower the score of “${label}”.`;
  return `Red: covering the reddest part takes “${label}” from ${percent(map.score)} to ${percent(map.score - most)}.`;
}

async function heatMap(map) {
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
  if (map.image) context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  return canvas;
}
