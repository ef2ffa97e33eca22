// The numbers beside the stage: repetitions, grade, tracking, feed.
import { html } from "../html.js";
import { number, qualityWord, words } from "../text.js";
import { Sets } from "./notices.js";

const BARS = 20;

export function Panel({ watched }) {
  return html`
    <aside class="panel">
      <${Reps} watched=${watched} />
      <${Grade} records=${watched.records} />
      <${Tracking} quality=${watched.quality} />
      <${Feed} meter=${watched.meter} />
    </aside>
  `;
}

function Reps({ watched }) {
  const text = words();
  const { full, partial, latest, reps } = watched;
  const asked = latest?.asked_reps;
  return html`
    <section class="tile reps" aria-labelledby="reps-title">
      <h3 id="reps-title">${text.reps}</h3>
      <p class="big" aria-live="polite" aria-atomic="true" data-reps=${full + partial}>
        <b>${full + partial}</b>${asked ? html` <span class="soft">${text.of} ${asked}</span>` : null}
        <span class="side">
          <span class="full">${text.full} ${full}</span>
          <span class="partial">${text.partial} ${partial}</span>
        </span>
      </p>
      ${reps.length > 0
        ? html`<${Bars} reps=${reps} asked=${asked} />`
        : html`<p class="soft bars-none">${text.no_reps}</p>`}
    </section>
  `;
}

// One bar for each of the latest repetitions, as high as the movement was complete.
function Bars({ reps, asked }) {
  const text = words();
  const shown = reps.slice(-BARS);
  const empty = Math.max(0, Math.min(BARS, asked ?? BARS) - shown.length);
  const last = shown[shown.length - 1];
  const measures = [];
  if (Number.isFinite(last.completeness)) measures.push(`${number(last.completeness)} %`);
  if (Number.isFinite(last.duration)) measures.push(`${number(last.duration, 1)} ${text.seconds}`);
  return html`
    <ol class="bars">
      ${shown.map((rep) => {
        const complete = rep.completeness ?? 0;
        const label = `${rep.rep_no}: ${text[rep.class] ?? rep.class}, ${number(complete)} %`;
        return html`
          <li key=${`${rep.set_no}/${rep.rep_no}`} class=${rep.class} title=${label} aria-label=${label}>
            <i style=${{ height: `${Math.max(6, Math.min(100, complete / 1.25))}%` }}></i>
          </li>
        `;
      })}
      ${Array.from({ length: empty }, (_, n) => html`<li key=${`slot${n}`} class="slot" aria-hidden="true"></li>`)}
    </ol>
    <p class="last">
      <span>${text.last}: ${text[last.class] ?? last.class}</span>
      <span>${measures.join(" · ")}</span>
    </p>
  `;
}

function Grade({ records }) {
  const text = words();
  const graded = records.filter((record) => Number.isFinite(record.grade));
  const mean = graded.reduce((sum, record) => sum + record.grade, 0) / graded.length;
  return html`
    <section class="tile" aria-labelledby="grade-title">
      <h3 id="grade-title">${text.grade}</h3>
      ${graded.length > 0
        ? html`<p class="big"><b>${number(mean, 1)}</b> <span class="soft">/ 100</span></p>`
        : html`<p class="soft">${text.no_grade}</p>`}
      <${Sets} sets=${records.slice(-3).reverse()} />
    </section>
  `;
}

function Tracking({ quality }) {
  const text = words();
  const known = Number.isFinite(quality);
  const word = known ? qualityWord(quality) : "";
  const share = known ? Math.max(0, Math.min(100, quality * 100)) : 0;
  return html`
    <section class="tile tracking" aria-labelledby="tracking-title">
      <h3 id="tracking-title">${text.tracking}</h3>
      <p class="row">
        <b class=${word}>${known ? text[word] : "–"}</b>
        <span class="soft">${known ? `${number(share)} %` : ""}</span>
      </p>
      <div class=${`gauge ${word}`} role="meter" aria-labelledby="tracking-title"
        aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(share)}>
        <i style=${{ width: `${share}%` }}></i>
      </div>
    </section>
  `;
}

function Feed({ meter }) {
  const text = words();
  const { latency_ms: latency, fps, missed } = meter.read();
  const delay = latency === null ? "–" : `${number(latency, latency < 10 ? 1 : 0)} ms`;
  return html`
    <section class="tile" aria-labelledby="feed-title">
      <h3 id="feed-title">${text.feed}</h3>
      <dl class="feed">
        <div><dt>${text.latency}</dt><dd data-latency>${delay}</dd></div>
        <div><dt>${text.fps}</dt><dd data-fps>${number(fps)}</dd></div>
        <div><dt>${text.missed}</dt><dd data-missed>${number(missed)}</dd></div>
      </dl>
    </section>
  `;
}
