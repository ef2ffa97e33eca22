// What stands where no session can: a form for the token, an empty room, a result.
import { html } from "../html.js";
import { motionName, number, words } from "../text.js";

export function TokenForm({ refused, open }) {
  const text = words();
  const submit = (event) => {
    event.preventDefault();
    const token = event.target.elements.token.value.trim();
    if (token) open(token);
  };
  return html`
    <section class="notice" role=${refused ? "alert" : null}>
      <h2>${refused ? text.refused_title : text.no_token_title}</h2>
      <p>${text.token_text}</p>
      <pre><code>gemgem token --role therapist</code></pre>
      <form onSubmit=${submit}>
        <label for="token">${text.token_label}</label>
        <input id="token" name="token" autocomplete="off" spellcheck="false" required />
        <button type="submit">${text.token_go}</button>
      </form>
    </section>
  `;
}

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

/** The result of a session that ended: its sets, their grades, its own grade. */
export function Result({ watched }) {
  const text = words();
  const { ended } = watched;
  const sets = Array.isArray(ended.sets) && ended.sets.length > 0 ? ended.sets : watched.records;
  return html`
    <section class="result" role="status">
      <h2>${text.ended}</h2>
      ${Number.isFinite(ended.grade) ? html`<p class="grade">${number(ended.grade, 1)}</p>` : null}
      <ul>
        ${sets.map((set) => html`
          <li>
            <span>${motionName(set.motion)}</span>
            <${Stars} count=${set.stars} />
            <b>${Number.isFinite(set.grade) ? number(set.grade, 1) : "–"}</b>
          </li>
        `)}
      </ul>
      <p class="soft">${text.ended_text}</p>
    </section>
  `;
}

export function Stars({ count }) {
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
