"use strict";

// Shows /openapi.json. Everything is put in as text: nothing of the document is taken for markup.
function element(name, text, parent) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function table(parent, title, rows) {
  if (rows.length === 0) return;
  element("h4", title, parent);
  const body = element("tbody", "", element("table", "", parent));
  for (const cells of rows) {
    const row = element("tr", "", body);
    cells.forEach((cell, at) => element(at === 0 ? "th" : "td", cell, row));
  }
}

function resolve(api, object) {
  if (!object || !object.$ref) return object;
  return object.$ref.slice(2).split("/").reduce((at, name) => at[name], api);
}

function contents(parent, api, content) {
  for (const [media, { schema, example }] of Object.entries(content || {})) {
    element("p", media, parent);
    element("pre", JSON.stringify(resolve(api, schema), null, 2), parent);
    if (example === undefined) continue;
    element("p", "For example", parent);
    element("pre", typeof example === "string" ? example : JSON.stringify(example, null, 2), parent);
  }
}

function show(parent, api, path, place, method, operation) {
  const box = element("details", "", parent);
  box.id = operation.operationId;
  const summary = element("summary", "", box);
  element("span", method.toUpperCase(), summary).className = "method";
  element("span", path, summary).className = "path";
  element("span", " — " + operation.summary, summary);
  const parameters = [...(place.parameters || []), ...operation.parameters];
  table(box, "Parameters", parameters.map((one) => [one.name, one.in, one.description || "", JSON.stringify(one.schema)]));
  if (operation.requestBody) {
    element("h4", "Body", box);
    contents(box, api, operation.requestBody.content);
  }
  element("h4", "Answers", box);
  for (const [status, answer] of Object.entries(operation.responses)) {
    const whole = resolve(api, answer);
    element("p", status + ": " + whole.description, box);
    contents(box, api, whole.content);
  }
}

async function main() {
  const api = await (await fetch("/openapi.json")).json();
  document.getElementById("about").textContent = api.info.description;
  const list = document.getElementById("operations");
  for (const [path, place] of Object.entries(api.paths)) {
    if (path.startsWith("/v1/services/")) continue;
    for (const [method, operation] of Object.entries(place)) {
      if (method !== "parameters") show(list, api, path, place, method, operation);
    }
  }
  const calls = document.getElementById("webhooks");
  for (const [name, place] of Object.entries(api.webhooks)) show(calls, api, name, place, "post", place.post);
}

main();
