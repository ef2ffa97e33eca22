// Start of the page: find out whom it is for, connect, draw.
import { render } from "preact";
import { Account } from "./account.js";
import { html } from "./html.js";
import { Live } from "./live.js";
import { App } from "./views/app.js";

const root = document.getElementById("app");
let due = false;

const live = new Live(() => {
  if (due) return;
  due = true; // many events, one drawing
  requestAnimationFrame(draw);
});
const account = new Account((token) => live.renew(token));

/** Connect, if it is known for whom and, of an admin, why. */
function open() {
  if (account.open && account.reason !== null) live.open(account);
  else live.leave();
  draw();
}

async function leave() {
  live.leave();
  await account.signOut();
  draw();
}

function draw() {
  due = false;
  if (live.link === "refused") account.drop();
  render(html`<${App} live=${live} account=${account} redraw=${draw} open=${open} leave=${leave} />`, root);
}

addEventListener("hashchange", () => {
  account.adopt();
  open();
});
setInterval(() => {
  live.settle();
  draw(); // the meter and the clock move without events
}, 500);
open();
