// The running plot below the stage, with its legend.
import { useEffect, useRef } from "preact/hooks";
import { html } from "../html.js";
import { SignalPlot } from "../plot.js";
import { words } from "../text.js";

export function Signal({ watched }) {
  const text = words();
  return html`
    <section class="signal" aria-label=${text.signal}>
      <div class="head">
        <h3>${text.signal}</h3>
        <ul class="legend">
          ${["full", "partial", "rejected"].map((name) => html`
            <li><i class=${name} aria-hidden="true"></i>${text[name]}</li>
          `)}
        </ul>
      </div>
      <${Plot} watched=${watched} label=${text.plot} />
    </section>
  `;
}

function Plot({ watched, label }) {
  const host = useRef(null);
  const current = useRef(watched);
  current.current = watched;
  useEffect(() => {
    const plot = new SignalPlot(host.current);
    let frame = requestAnimationFrame(function draw(now) {
      const session = current.current;
      const shown = session.playout.shown(now);
      const edge = session.trace.edge(shown === null ? null : shown / 1000);
      if (session.ended === null) plot.draw(session, edge);
      frame = requestAnimationFrame(draw);
    });
    return () => {
      cancelAnimationFrame(frame);
      plot.destroy();
    };
  }, []);
  return html`<div ref=${host} class="plot" role="img" aria-label=${label}></div>`;
}
