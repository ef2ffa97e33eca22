// Start of the page: take the token, connect, draw.
import { render } from "preact";
import { html } from "./html.js";
import { Live } from "./live.js";
import { dropToken, keepToken, takeToken } from "./token.js";
import { App } from "./views/app.js";

const root = document.getElementById("app");
let due = false;

const live = new Live(() => {
  if (due) return;
  due = true; // many events, one drawing
  requestAnimationFrame(draw);
});

function open(token) {
  keepToken(token);
  live.open(token);
}

function draw() {
  due = false;
  if (live.link === "refused") dropToken();
  render(html`<${App} live=${live} redraw=${draw} open=${open} />`, root);
}

function begin() {
  const token = takeToken();
  if (token) live.open(token);
}

begin();
addEventListener("hashchange", begin);
setInterval(() => {
  live.settle();
  draw(); // the meter and the clock move without events
}, 500);
draw();
