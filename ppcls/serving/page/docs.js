// The OpenAPI description as text; nothing is loaded from elsewhere.

function add(parent, name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  parent.append(made);
  return made;
}

function example(path, method, operation) {
  const url = new URL(path.slice(1), location.href).href;
  return operation.requestBody ? `curl -F file=@photo.jpg ${url}` : `curl -X ${method.toUpperCase()} ${url}`;
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
  const bounds = [kind.minimum, kind.maximum].map((bound) => bound ?? "…").join(" to ");
  const optional = required ? "" : `; default ${preset ?? "none"}`;
  return `${kind.type}, ${bounds}${optional}${description ? `; ${description}` : ""}`;
}

const response = await fetch("openapi.json");
const description = await response.json();
for (const [path, methods] of Object.entries(description.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const section = add(document.getElementById("operations"), "section", "");
    add(section, "h2", `${method.toUpperCase()} ${path}`);
    add(section, "p", operation.summary);
    add(section, "pre", example(path, method, operation));
    list(section, "Parameters", (operation.parameters ?? []).map((item) => [item.name, parameterText(item)]));
    list(section, "Body", Object.keys(operation.requestBody?.content ?? {}).map((kind) => [kind, ""]));
    list(section, "Answers", Object.entries(operation.responses).map(([code, item]) => [code, item.description]));
  }
}
