// The OpenAPI description as text; nothing is loaded from elsewhere.

import { element } from "./dom.js";

function add(parent, name, text) {
  const made = element(name, "", text);
  parent.append(made);
  return made;
}

// In double quotes, as the shells of all systems take it.
function command(path, method, operation) {
  const key = operation.security ? ' -H "X-API-Key: $PPCLS_API_KEY"' : "";
  const body = operation.requestBody ? " -F file=@photo.jpg" : "";
  return `curl${key}${body} "${new URL(path.slice(1), location.href).href}"`;
}

function exampleOf(operation) {
  const example = operation.responses["200"]?.content?.["application/json"]?.example;
  // Lists of numbers and names on one line.
  const short = (_, items) => `[${items.replace(/\s+/g, " ")}]`;
  return example && JSON.stringify(example, null, 2).replace(/\[\s*([^[\]{}]*?)\s*\]/g, short);
}

function list(parent, title, items) {
  if (!items.length) return;
  add(parent, "h3", title);
  const terms = add(parent, "dl", "");
  for (const [term, text] of items) {
    add(terms, "dt", term);
    add(terms, "dd", text);
  }
}

function parameterText({ schema, description, required }) {
  const { title, anyOf = [schema], default: preset, ...rest } = schema;
  const kind = anyOf.find((option) => option.type !== "null") ?? rest;
  const bounds = kind.maximum === undefined ? `at least ${kind.minimum}` : `${kind.minimum} to ${kind.maximum}`;
  const optional = required || preset === undefined ? "" : `; default: ${preset}`;
  return `${kind.type}, ${bounds}${optional}${description ? `; ${description}` : ""}`;
}

const response = await fetch("openapi.json");
const description = await response.json();
for (const [path, methods] of Object.entries(description.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const section = add(document.getElementById("operations"), "section", "");
    add(section, "h2", `${method.toUpperCase()} ${path}`);
    add(section, "p", operation.summary);
    add(section, "pre", command(path, method, operation)).tabIndex = 0;
    const example = exampleOf(operation);
    if (example) add(section, "pre", example).tabIndex = 0;
    list(section, "Parameters", (operation.parameters ?? []).map((item) => [item.name, parameterText(item)]));
    list(section, "Body", Object.keys(operation.requestBody?.content ?? {}).map((kind) => [kind, ""]));
    list(section, "Answers", Object.entries(operation.responses).map(([code, item]) => [code, item.description]));
  }
}
