// Small helpers. Text is set as text only: names come from anywhere.

export const find = (id) => document.getElementById(id);

export function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const TINY = 64; // pixels a side

/** Whether a picture is so small that it is shown with its pixels, not blurred. */
export const isTiny = ({ naturalWidth, naturalHeight }) => Math.max(naturalWidth, naturalHeight) <= TINY;

/** A picture that is named beside it, so that it is not read out. */
export function photo(url, loading = "eager") {
  const picture = element("img");
  picture.alt = "";
  picture.addEventListener("load", () => picture.classList.toggle("tiny", isTiny(picture)));
  picture.loading = loading; // before the source, which is loaded at once
  picture.src = url;
  return picture;
}
