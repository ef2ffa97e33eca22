// Elements without markup in strings: what a document says is text, never HTML.

/** Make an element; children that are empty are left out. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null
    && child !== false && child !== ""));
  return made;
}

/** Turn `code` in a sentence into elements. */
export function sentence(text) {
  return (text ?? "").split(/`([^`]+)`/).map((part, n) => (n % 2 ? element("code", {}, part) : part));
}

/** Make a table that scrolls by itself where the screen is narrow. */
export function table(head, rows) {
  return element("div", { class: "scroll" }, element("table", {},
    element("thead", {}, element("tr", {}, head.map((cell) => element("th", { scope: "col" }, cell)))),
    element("tbody", {}, rows)));
}

/** Make a line to copy. */
export function copied(text) {
  const button = element("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return element("div", { class: "try" }, element("pre", {}, text), button);
}
