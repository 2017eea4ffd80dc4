// The list of the model's classes, with a search where there are many.

import { element, find } from "./dom.js";

const FEW = 12; // seen at a glance
const MOST = 1000; // in the list at a time: more would make typing slow

let names = [];

/** Offer the classes of GET /model; nothing where they have no names. */
export function showClasses({ class_names: known }) {
  names = known ?? [];
  find("classes").hidden = !names.length;
  find("class-search").hidden = names.length <= FEW;
  if (find("classes").open) list();
}

function list() {
  const query = find("class-query").value.trim().toLocaleLowerCase();
  const places = [...names.keys()].filter(
    (place) => names[place].toLocaleLowerCase().includes(query) || String(place) === query,
  );
  find("class-list").replaceChildren(...places.slice(0, MOST).map(itemOf));
  find("class-count").textContent = query || places.length > MOST ? countOf(places.length) : "";
}

function countOf(found) {
  if (!found) return "no class has this in its name";
  return found > MOST ? `the first ${MOST} of ${found} classes` : `${found} of ${names.length} classes`;
}

function itemOf(place) {
  const item = element("li", "", names[place]);
  item.prepend(element("span", "class-id", place), " ");
  return item;
}

find("classes").addEventListener("toggle", list);
find("class-query").addEventListener("input", list);
