// The view of the routes.

import { copied, element, sentence, table } from "./dom.js";
import { example, fieldRow, fields, resolved, typeOf } from "./schema.js";

const VERBS = ["get", "post", "put", "patch", "delete"];

export function restView(root) {
  const chapters = root.tags.map((tag) => ({ title: tag.name, text: tag.description, entries: [] }));
  for (const [path, item] of Object.entries(root.paths)) {
    for (const verb of VERBS.filter((one) => item[one])) {
      const operation = item[verb];
      const chapter = chapters.find((one) => one.title === operation.tags[0]);
      chapter.entries.push({
        id: `rest/${operation.operationId}`,
        verb: verb.toUpperCase(),
        name: path.replace(/^\/v1/, ""),
        words: [verb, path, operation.summary, operation.description].join(" "),
        make: () => route(verb, path, operation, root),
      });
    }
  }
  return chapters;
}

function route(verb, path, operation, root) {
  const parameters = operation.parameters.map((one) => resolved(one, root));
  const body = operation.requestBody?.content["application/json"]?.schema;
  const terms = operation.description.split("\n\n");
  return element("article", { id: `rest/${operation.operationId}` },
    element("h3", {}, element("span", { class: `verb ${verb}` }, verb.toUpperCase()), element("code", {}, path)),
    element("p", { class: "summary" }, sentence(operation.summary)),
    terms.slice(0, -1).map((text) => element("p", { class: "summary" }, sentence(text))),
    element("p", { class: "terms" }, sentence(terms.at(-1))),
    element("h4", {}, "Try it"), copied(curl(verb, path, operation, parameters, body, root)),
    parameters.length && [element("h4", {}, "Parameters"), parameterTable(parameters, root)],
    body && [element("h4", {}, "Body"), fields(body, root)],
    element("h4", {}, "Answers"), answers(operation, root));
}

function parameterTable(parameters, root) {
  return table(["Name", "Type", "Meaning"], parameters.map((one) => {
    const row = fieldRow(one.name, { ...one.schema, description: one.description }, one.required && "needed", root);
    row.children[1].textContent = `${typeOf(one.schema, root)} (${one.in})`;
    return row;
  }));
}

function answers(operation, root) {
  return table(["Status", "", "Meaning"], Object.entries(operation.responses).map(([status, given]) => {
    const answer = resolved(given, root);
    const schema = status < 400 && answer.content?.["application/json"]?.schema;
    const codes = given.$ref ? "Error" : schema ? resolved(schema, root).title ?? "" : "no body";
    return element("tr", {},
      element("td", { class: "status" }, status),
      element("td", { class: "type" }, codes),
      element("td", {}, sentence(answer.description), schema && element("details", {},
        element("summary", {}, "its fields"), fields(schema, root, true))));
  }));
}

function curl(verb, path, operation, parameters, body, root) {
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => {
    const one = parameters.find((parameter) => parameter.in === "path" && parameter.name === name);
    return encodeURIComponent(example(one?.schema, root));
  });
  const query = parameters.filter((one) => one.in === "query" && one.required)
    .map((one) => `${one.name}=${encodeURIComponent(example(one.schema, root))}`).join("&");
  const parts = ["curl -sS"];
  if (verb !== "get") parts.push(`-X ${verb.toUpperCase()}`);
  if (operation.security.length) parts.push(`-H "Authorization: Bearer $TOKEN"`);
  if (parameters.some((one) => one.name === "Idempotency-Key")) parts.push(`-H "Idempotency-Key: $(uuidgen)"`);
  if (body) {
    parts.push(`-H "Content-Type: application/json"`);
    parts.push(`-d '${JSON.stringify(example(body, root)).replaceAll("'", "'\\''")}'`);
  }
  parts.push(`"${location.origin}${filled}${query && `?${query}`}"`);
  return parts.join(" \\\n  ");
}
