// What stands where no hand can: an empty room, a result.
import { html } from "../html.js";
import { motionName, number, words } from "../text.js";

export function Empty({ connecting }) {
  const text = words();
  return html`
    <section class="notice empty" role="status">
      <svg viewBox="0 0 120 120" aria-hidden="true" class=${connecting ? "turning" : "resting"}>
        <circle cx="60" cy="60" r="50" />
        <path d="M46 38h28l12 16-26 32-26-32z" />
      </svg>
      <h2>${connecting ? text.connecting : text.none_title}</h2>
      ${connecting ? null : html`<p>${text.none_text}</p>`}
    </section>
  `;
}

/** What lies over the stage while no hand is asked: a session's result, or the set just finished. */
export function Pause({ watched }) {
  const text = words();
  const { ended, records } = watched;
  if (ended !== null) {
    const sets = ended.sets?.length > 0 ? ended.sets : records;
    return html`<${Overlay} title=${text.ended} grade=${ended.grade} sets=${sets} hint=${text.ended_text} />`;
  }
  if (!watched.joined || watched.set !== null || records.length === 0) return null;
  const last = records[records.length - 1];
  const title = text.between(last.set_no);
  return html`<${Overlay} title=${title} grade=${last.grade} sets=${[last]} hint=${text.between_text} />`;
}

function Overlay({ title, grade, sets, hint }) {
  return html`
    <section class="result" role="status">
      <h3>${title}</h3>
      ${Number.isFinite(grade) ? html`<p class="grade">${number(grade, 1)}</p>` : null}
      <${Sets} sets=${sets} />
      <p class="soft">${hint}</p>
    </section>
  `;
}

/** Finished sets, one a line: motion, stars, grade. */
export function Sets({ sets }) {
  return html`
    <ul class="sets">
      ${sets.map((set) => html`
        <li key=${set.set_no}>
          <span>${motionName(set.motion)}</span>
          <${Stars} count=${set.stars} />
          <b>${Number.isFinite(set.grade) ? number(set.grade, 1) : "–"}</b>
        </li>
      `)}
    </ul>
  `;
}

function Stars({ count }) {
  const text = words();
  if (!Number.isFinite(count)) return null;
  const label = `${count} ${text.stars}`;
  return html`
    <span class="stars" role="img" aria-label=${label}>
      ${[1, 2, 3].map((n) => html`
        <svg viewBox="0 0 20 20" class=${n <= count ? "won" : ""} aria-hidden="true">
          <path d="M10 1.8l2.5 5.3 5.8.7-4.3 4 1.1 5.7L10 14.7l-5.1 2.8L6 11.8l-4.3-4 5.8-.7z" />
        </svg>
      `)}
    </span>
  `;
}
