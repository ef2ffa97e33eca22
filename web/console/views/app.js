// The page: the list of children, the stage, the panel; or what stands in their place.
import { html } from "../html.js";
import { currentLanguage, setLanguage, words } from "../text.js";
import { Entrance } from "./entrance.js";
import { Empty } from "./notices.js";
import { Panel } from "./panel.js";
import { Sessions } from "./sessions.js";
import { Signal } from "./signal.js";
import { Stage } from "./stage.js";

export function App({ live, account, redraw, open, leave }) {
  const locked = live.link === "refused" || live.link === "no_token";
  return html`
    <div class="page">
      <${Header} live=${live} account=${account} redraw=${redraw} leave=${leave} />
      ${locked ? html`<${Locked} refusal=${live.refusal} account=${account} open=${open} />` : html`<${Body} live=${live} />`}
    </div>
  `;
}

function Locked({ refusal, account, open }) {
  return html`<main class="alone"><${Entrance} refusal=${refusal} account=${account} open=${open} /></main>`;
}

function Body({ live }) {
  const { watched } = live;
  if (!watched) return html`<main class="alone"><${Empty} connecting=${live.link !== "live"} /></main>`;
  return html`
    <${Sessions} live=${live} />
    <main class="watch">
      <${Stage} watched=${watched} />
      <${Signal} watched=${watched} />
    </main>
    <${Panel} watched=${watched} />
  `;
}

function Header({ live, account, redraw, leave }) {
  const text = words();
  const other = currentLanguage() === "ko" ? "en" : "ko";
  const swap = () => {
    setLanguage(other);
    redraw();
  };
  return html`
    <header class="bar">
      <div class="brand">
        <${Gem} />
        <span class="name">gemgem</span>
        <h1>${text.title}</h1>
      </div>
      <${Line} link=${live.link} />
      ${account.signedIn ? html`<button class="quiet" type="button" onClick=${leave}>${text.sign_out}</button>` : null}
      <button class="quiet" type="button" lang=${other} onClick=${swap}>
        ${other === "ko" ? "한국어" : "English"}
      </button>
    </header>
  `;
}

// The state of the line, said aloud when it changes.
function Line({ link }) {
  const text = words();
  const word = { live: text.on, connecting: text.connecting, lost: text.lost }[link] ?? text.off;
  return html`<p class=${`line ${link}`} role="status" aria-live="polite"><i aria-hidden="true"></i>${word}</p>`;
}

export function Gem() {
  return html`
    <svg class="gem" viewBox="0 0 32 32" aria-hidden="true">
      <path class="a" d="M9 4h14l6 8-13 16L3 12z" />
      <path class="b" d="M3 12h26L16 28z" />
      <path class="c" d="M9 4h14l-3 8h-8z" />
    </svg>
  `;
}
