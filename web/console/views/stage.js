// The stage: who plays what, and the hand itself.
import { useEffect, useRef } from "preact/hooks";
import { html } from "../html.js";
import { Scene } from "../scene.js";
import { motionName, words } from "../text.js";
import { Pause } from "./notices.js";

export function Stage({ watched }) {
  const text = words();
  const motion = motionName(watched.set?.motion);
  return html`
    <section class="stage" aria-label=${watched.alias}>
      <div class="title">
        <h2>${watched.alias}</h2>
        <p>
          <span>${motion || (watched.records.length > 0 ? text.resting : text.waiting)}</span>
          ${watched.set ? html`
            <span class=${`chip ${watched.set.side}`}>${text[watched.set.side]}</span>
            <span class="chip">${text.set} ${watched.set.set_no}</span>
          ` : null}
          ${watched.state === "paused" ? html`<span class="chip paused">${text.paused}</span>` : null}
        </p>
      </div>
      <${Picture} watched=${watched} label=${text.picture(watched.alias, motion)} />
      <${Pause} watched=${watched} />
    </section>
  `;
}

// The canvas draws itself once per screen refresh, apart from preact.
function Picture({ watched, label }) {
  const canvas = useRef(null);
  const note = useRef(null);
  const current = useRef(watched);
  current.current = watched;
  useEffect(() => {
    const scene = new Scene(canvas.current);
    let frame = requestAnimationFrame(function draw(now) {
      if (note.current === null) return; // something else stands here now
      const hands = scene.draw(current.current, now);
      const { ended, set } = current.current;
      const hidden = hands > 0 || ended !== null || set === null;
      if (note.current.hidden !== hidden) note.current.hidden = hidden;
      frame = requestAnimationFrame(draw);
    });
    return () => cancelAnimationFrame(frame);
  }, []);
  return html`
    <canvas ref=${canvas} class="hand" role="img" aria-label=${label}></canvas>
    <p ref=${note} class="nohand" role="status" hidden>${words().no_hand}</p>
  `;
}
