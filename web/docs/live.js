// The view of the live events.

import { element, sentence } from "./dom.js";
import { fields, resolved, typeOf } from "./schema.js";

export function liveView(root) {
  return Object.entries(root.channels).flatMap(([channel, { address, messages }]) => {
    const of = (action) => Object.entries(root.operations)
      .filter(([, one]) => one.action === action && one.channel.$ref.endsWith(`/${channel}`))
      .map(([id, one]) => entry(id, action, one, messages, root));
    return [
      { title: `${address}: what a client sends`, entries: of("receive") },
      { title: `${address}: what the server says`, entries: of("send") },
    ];
  });
}

function entry(id, action, operation, messages, root) {
  const key = operation.messages[0].$ref.split("/").at(-1);
  const message = messages[key];
  return {
    id: `live/${id}`,
    name: message.name,
    words: [message.name, message.summary].join(" "),
    make: () => event(id, action, message, messages[`${key}.answer`], root),
  };
}

function event(id, action, message, answer, root) {
  const ok = answer?.payload.oneOf[0].properties.ok;
  return element("article", { id: `live/${id}` },
    element("h3", {}, element("code", {}, message.name)),
    element("p", { class: "summary" }, sentence(message.summary)),
    message.payload.items.map((one, n) => [
      element("h4", {}, `Argument ${n + 1}: ${resolved(one, root).title ?? typeOf(one, root)}`),
      argument(one, root, action === "send"),
    ]),
    ok && [element("h4", {}, "Answered with"), fields(ok, root, true)]);
}

function argument(given, root, heard) {
  const schema = resolved(given, root);
  if (schema.type === "object") return fields(schema, root, heard);
  return element("p", { class: "terms" }, sentence(given.description ?? (
    schema.type === "integer" ? "The number of the message: 0, 1, 2, … without holes." : "")));
}
