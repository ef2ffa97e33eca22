// JSON Schema as tables: a row a field, what is inside it below.

import { element, sentence, table } from "./dom.js";

export function resolved(schema, root) {
  if (!schema?.$ref) return schema ?? {};
  return schema.$ref.slice(2).split("/").reduce(
    (place, key) => place?.[decodeURIComponent(key)], root) ?? {};
}

/** Say a type in a few words. */
export function typeOf(given, root) {
  const schema = resolved(given, root);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map(String).join(" | ");
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.map((choice) => typeOf(choice, root)).join(" or ");
  if (schema.type === "array") {
    return Array.isArray(schema.items) ? "list" : `list of ${typeOf(schema.items ?? {}, root)}`;
  }
  if (schema.format === "binary") return "binary";
  if (schema.type === "string" && schema.format) return schema.format;
  return schema.type === "string" ? "text" : schema.type ?? "anything";
}

function bounds(schema) {
  const said = [];
  const least = schema.minimum ?? schema.exclusiveMinimum;
  const most = schema.maximum ?? schema.exclusiveMaximum;
  if (least !== undefined) said.push(`${schema.minimum === undefined ? ">" : "≥"} ${least}`);
  if (most !== undefined) said.push(`${schema.maximum === undefined ? "<" : "≤"} ${most}`);
  if (schema.minLength) said.push(`at least ${schema.minLength} long`);
  if (schema.maxLength) said.push(`at most ${schema.maxLength} long`);
  if (schema.pattern) said.push(`matches \`${schema.pattern}\``);
  if (schema.default !== undefined && schema.default !== null) {
    said.push(`\`${JSON.stringify(schema.default)}\` unless given`);
  }
  return said.join(", ");
}

/** Return the object schemas inside a schema, through lists and choices. */
function inside(given, root) {
  const schema = resolved(given, root);
  if (schema.properties) return [schema];
  const parts = [...(schema.anyOf ?? schema.oneOf ?? schema.allOf ?? [])];
  if (schema.items && !Array.isArray(schema.items)) parts.push(schema.items);
  if (typeof schema.additionalProperties === "object") parts.push(schema.additionalProperties);
  return parts.flatMap((part) => inside(part, root));
}

/** Make a field's row; `mark` says what is unusual about it: needed where one sends, not always where one hears. */
export function fieldRow(name, given, mark, root, heard = false, depth = 0) {
  const schema = resolved(given, root);
  const choice = (schema.anyOf ?? []).find((one) => one.type !== "null") ?? {};
  const limits = heard ? "" : bounds({ ...choice, ...schema });
  const within = depth < 4 ? inside(given, root) : [];
  return element("tr", {},
    element("td", {}, element("code", {}, name), mark && element("span", { class: heard ? "rare" : "needed" }, mark)),
    element("td", { class: "type" }, typeOf(given, root)),
    element("td", {}, sentence(given.description ?? schema.description),
      limits && element("span", { class: "limits" }, sentence(limits)),
      within.map((one) => element("details", {},
        element("summary", {}, one.title ?? "its fields"), fields(one, root, heard, depth + 1)))));
}

/** Make the table of an object's fields, of one that is sent or `heard`. */
export function fields(given, root, heard = false, depth = 0) {
  const schema = resolved(given, root);
  const needed = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([name, one]) => {
    const mark = heard ? !needed.has(name) && "not always" : needed.has(name) && "needed";
    return fieldRow(name, one, mark, root, heard, depth);
  });
  return rows.length ? table(["Field", "Type", "Meaning"], rows)
    : element("p", { class: "terms" }, "No fields.");
}

/** Make up a value that a schema takes, for a line to try. */
export function example(given, root, depth = 0) {
  const schema = resolved(given, root);
  if (schema.examples) return schema.examples[0];
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const choice = (schema.anyOf ?? schema.oneOf ?? []).find((one) => one.type !== "null");
  if (choice) return example(choice, root, depth);
  switch (schema.type) {
    case "object": {
      if (depth > 4) return {};
      const needed = (schema.required ?? []).map((name) => [name, example(schema.properties[name], root, depth + 1)]);
      return Object.fromEntries(needed);
    }
    case "array": return [];
    case "integer": case "number": return schema.minimum ?? 1;
    case "boolean": return true;
    default: return { date: "2020-01-31", "date-time": "2026-01-31T09:00:00Z", email: "a@example.com" }[schema.format] ?? "…";
  }
}
