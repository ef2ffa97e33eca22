// The view of the error codes.

import { element, sentence, table } from "./dom.js";

export function errorsView(root) {
  const meanings = root["x-errors"];
  const words = meanings.map((one) => one.code).join(" ");
  return [{
    title: "Error codes",
    text: "One list for REST and for the answers of events.",
    entries: [{
      id: "errors/all",
      name: "all codes",
      words,
      make: () => element("article", { id: "errors/all" }, table(
        ["Code", "HTTP", "Means", "Try again?", "한국어"],
        meanings.map((one) => element("tr", {},
          element("td", {}, element("code", {}, one.code)),
          element("td", { class: "status" }, String(one.status)),
          element("td", {}, sentence(one.english)),
          element("td", {}, sentence(one.again)),
          element("td", {}, one.korean))))),
    }],
  }];
}
