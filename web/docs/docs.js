// The page /docs: both documents read, shown as one of three views, filtered as you type.

import { element } from "./dom.js";
import { errorsView } from "./errors.js";
import { liveView } from "./live.js";
import { restView } from "./rest.js";

const content = document.getElementById("content");
const contents = document.getElementById("contents");
const find = document.getElementById("find");
const tabs = [...document.querySelectorAll("header nav a")];

async function read(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

/** Show a view: chapters {title, text, entries}, entries {id, verb, name, words, make}. */
function show(chapters) {
  const asked = find.value.trim().toLowerCase();
  const parts = [], links = [];
  for (const chapter of chapters) {
    const entries = chapter.entries.filter((entry) => entry.words.toLowerCase().includes(asked));
    if (!entries.length) continue;
    parts.push(element("h2", {}, chapter.title));
    if (chapter.text) parts.push(element("p", {}, chapter.text));
    parts.push(...entries.map((entry) => entry.make()));
    links.push(element("h2", {}, chapter.title));
    links.push(...entries.map((entry) => element("a", { href: `#${entry.id}` },
      entry.verb && element("span", { class: `verb ${entry.verb.toLowerCase()}` }, entry.verb),
      element("span", {}, entry.name))));
  }
  if (!parts.length) parts.push(element("p", {}, "Nothing of that name here."));
  content.replaceChildren(...parts);
  contents.replaceChildren(...links);
}

function viewOf(hash) {
  const name = hash.slice(1).split("/")[0];
  return tabs.some((tab) => tab.hash === `#${name}`) ? name : "rest";
}

async function start() {
  const [openapi, asyncapi] = await Promise.all([read("/openapi.json"), read("/asyncapi.json")]);
  document.getElementById("version").textContent = openapi.info.version;
  const views = {
    rest: restView(openapi), live: liveView(asyncapi), errors: errorsView(openapi),
  };
  let shown;
  const turn = () => {
    const name = viewOf(location.hash);
    if (name !== shown) {
      shown = name;
      for (const tab of tabs) {
        if (tab.hash === `#${name}`) tab.setAttribute("aria-current", "page");
        else tab.removeAttribute("aria-current");
      }
      show(views[name]);
    }
    document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
  };
  addEventListener("hashchange", turn);
  find.addEventListener("input", () => show(views[shown]));
  turn();
}

start().catch((error) => {
  content.replaceChildren(element("p", { role: "alert" }, `The documents cannot be read: ${error.message}`));
});
