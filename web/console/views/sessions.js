// The children playing now, one card each.
import { html } from "../html.js";
import { motionName, qualityWord, words } from "../text.js";

export function Sessions({ live }) {
  const text = words();
  const list = live.list();
  return html`
    <nav class="sessions" aria-label=${text.sessions}>
      <h2>${text.sessions} <span class="count">${list.length}</span></h2>
      <ul>
        ${list.map((session) => html`
          <li key=${session.session_id}>
            <${Card} session=${session} chosen=${session.session_id === live.watched?.id}
              choose=${() => live.watch(session.session_id)} />
          </li>
        `)}
      </ul>
    </nav>
  `;
}

function Card({ session, chosen, choose }) {
  const text = words();
  const { alias, motion, side, full = 0, partial = 0, asked_reps: asked, quality } = session;
  const word = Number.isFinite(quality) ? qualityWord(quality) : null;
  return html`
    <button type="button" class="card" aria-current=${chosen ? "true" : null} onClick=${choose}>
      <span class=${`face ${side ?? ""}`} aria-hidden="true">${initial(alias)}</span>
      <span class="who">
        <b>${alias}</b>
        <span class="soft">${motion ? motionName(motion) : text.resting}</span>
      </span>
      ${word ? html`<${Lamp} word=${word} />` : null}
      <${Progress} full=${full} partial=${partial} asked=${asked} side=${side} />
    </button>
  `;
}

function Lamp({ word }) {
  const text = words();
  return html`<span class=${`lamp ${word}`} role="img" aria-label=${`${text.tracking}: ${text[word]}`}></span>`;
}

function Progress({ full, partial, asked, side }) {
  const text = words();
  if (!asked) return null;
  const part = (n) => `${Math.min(100, (100 * n) / asked)}%`;
  return html`
    <span class=${`progress ${side ?? ""}`} role="img" aria-label=${text.progress(full + partial, asked)}>
      <i class="full" style=${{ width: part(full) }}></i>
      <i class="part" style=${{ width: part(Math.min(partial, asked - Math.min(full, asked))) }}></i>
    </span>
    <span class="tally" aria-hidden="true">${full + partial}<span class="soft">/${asked}</span></span>
  `;
}

const initial = (alias) => [...(alias ?? "?")][0]?.toUpperCase() ?? "?";
