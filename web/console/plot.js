// The running plot of the primary signal: ten seconds, the target line, every repetition marked.
import uPlot from "uplot";
import { blend, palette, repColour } from "./palette.js";
import { words } from "./text.js";
import { SPAN_S } from "./trace.js";

const FONT = "11px system-ui, sans-serif";

export class SignalPlot {
  constructor(host) {
    this.host = host;
    this.watched = null;
    this.now = 0;
    this.plot = new uPlot(this.options(), [[], []], host);
    this.sizes = new ResizeObserver(() => this.plot.setSize(this.size()));
    this.sizes.observe(host);
  }

  /** Show the signal of `watched` with `t` seconds of device time at the right edge. */
  draw(watched, t) {
    this.watched = watched;
    this.now = t ?? 0;
    const { trace } = watched;
    this.plot.batch(() => {
      this.plot.setData([trace.t, trace.z], false);
      this.plot.setScale("x", { min: this.now - SPAN_S, max: this.now });
      this.plot.setScale("y", span(trace));
    });
    this.host.dataset.points = String(trace.t.length);
  }

  destroy() {
    this.sizes.disconnect();
    this.plot.destroy();
  }

  size() {
    return { width: Math.max(60, this.host.clientWidth), height: Math.max(60, this.host.clientHeight) };
  }

  tint() {
    const colours = palette();
    return this.watched?.latest?.side === "left" ? colours.left : colours.right;
  }

  options() {
    const colour = (name) => () => palette()[name];
    return {
      ...this.size(),
      padding: [10, 14, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      select: { show: false },
      scales: { x: { time: false, auto: false }, y: { auto: false, range: (_, low, high) => [low, high] } },
      axes: [
        {
          size: 22, font: FONT, gap: 4, stroke: colour("soft"),
          splits: () => [10, 8, 6, 4, 2, 0].map((back) => this.now - back),
          values: (_, at) => at.map((t) => (this.now - t < 0.01 ? "0 s" : `−${Math.round(this.now - t)}`)),
          grid: { show: false }, ticks: { show: false },
        },
        {
          size: 52, font: FONT, gap: 6, stroke: colour("soft"),
          splits: () => [0, 1],
          values: () => [words().rest, words().target],
          grid: { stroke: colour("faint"), width: 1 }, ticks: { show: false },
        },
      ],
      series: [
        {},
        {
          width: 2.25, points: { show: false }, spanGaps: false,
          stroke: () => this.tint(),
          fill: (plot) => this.shade(plot),
          paths: uPlot.paths.spline(),
        },
      ],
      hooks: { drawAxes: [(plot) => this.target(plot)], draw: [(plot) => this.marks(plot)] },
    };
  }

  shade(plot) {
    const { top, height } = plot.bbox;
    const fill = plot.ctx.createLinearGradient(0, top, 0, top + height);
    fill.addColorStop(0, blend(this.tint(), this.tint(), 0, 0.26));
    fill.addColorStop(1, blend(this.tint(), this.tint(), 0, 0.02));
    return fill;
  }

  target(plot) {
    const { ctx } = plot;
    const y = plot.valToPos(1, "y", true);
    ctx.save();
    ctx.strokeStyle = palette().target;
    ctx.lineWidth = 1.5 * uPlot.pxRatio;
    ctx.setLineDash([5 * uPlot.pxRatio, 4 * uPlot.pxRatio]);
    ctx.beginPath();
    ctx.moveTo(plot.bbox.left, y);
    ctx.lineTo(plot.bbox.left + plot.bbox.width, y);
    ctx.stroke();
    ctx.restore();
  }

  marks(plot) {
    if (!this.watched) return;
    const { ctx, bbox } = plot;
    const colours = palette();
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, 0, bbox.width + 12 * uPlot.pxRatio, bbox.top + bbox.height);
    ctx.clip();
    for (const mark of this.watched.trace.marks.values()) {
      if (mark.z === null || mark.t < this.now - SPAN_S || mark.t > this.now) continue;
      const x = plot.valToPos(mark.t, "x", true);
      const y = plot.valToPos(mark.z, "y", true);
      sign(ctx, mark.class, x, y, 5 * uPlot.pxRatio, colours);
    }
    const head = Math.min(this.now, this.watched.trace.newest() ?? this.now);
    const z = this.watched.trace.at(head);
    if (z !== null) {
      ctx.fillStyle = this.tint();
      ctx.beginPath();
      ctx.arc(plot.valToPos(head, "x", true), plot.valToPos(z, "y", true), 3.5 * uPlot.pxRatio, 0, 7);
      ctx.fill();
    }
    ctx.restore();
  }
}

function span(trace) {
  let low = -0.12;
  let high = 1.22;
  for (const z of trace.z) {
    if (z === null) continue;
    low = Math.min(low, Math.max(-0.6, z - 0.08));
    high = Math.max(high, Math.min(1.8, z + 0.12));
  }
  return { min: low, max: high };
}

// Each class has a shape of its own: a disc, a diamond, a cross, an open ring while undecided.
function sign(ctx, name, x, y, r, colours) {
  const colour = repColour(colours, name);
  ctx.lineWidth = r * 0.42;
  ctx.strokeStyle = name === "pending" ? colours.soft : colours.surface;
  ctx.fillStyle = name === "pending" ? colours.surface : colour;
  ctx.beginPath();
  if (name === "full" || name === "pending") ctx.arc(x, y, r, 0, 2 * Math.PI);
  else if (name === "partial") {
    ctx.moveTo(x, y - 1.25 * r);
    ctx.lineTo(x + 1.25 * r, y);
    ctx.lineTo(x, y + 1.25 * r);
    ctx.lineTo(x - 1.25 * r, y);
    ctx.closePath();
  } else {
    ctx.strokeStyle = colour;
    ctx.moveTo(x - r, y - r);
    ctx.lineTo(x + r, y + r);
    ctx.moveTo(x + r, y - r);
    ctx.lineTo(x - r, y + r);
  }
  ctx.fill();
  ctx.stroke();
}
