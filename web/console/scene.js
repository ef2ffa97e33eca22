// The stage's picture, drawn once per screen refresh: the target ring and the hands inside it.
import { drawHand } from "./hand.js";
import { blend, palette } from "./palette.js";
import { Camera } from "./pose.js";

const PULSE_MS = 900;
const FROM_LEFT = ["right", "left"]; // a camera sees the right hand on the left

export class Scene {
  constructor(canvas) {
    this.canvas = canvas;
    this.ctx = canvas.getContext("2d");
    this.layer = document.createElement("canvas").getContext("2d");
    this.cameras = { left: new Camera(), right: new Camera() };
    this.ring = 0;
  }

  /** Draw `watched` at `now` (ms); returns how many hands are in view. */
  draw(watched, now) {
    const { width, height } = this.fit();
    const { ctx } = this;
    ctx.clearRect(0, 0, width, height);
    if (!watched) return 0;
    const shown = watched.playout.shown(now);
    const side = watched.latest?.side;
    const poses = FROM_LEFT.map((name) => [name, watched.playout.pose(name, shown)]).filter(([, pose]) => pose);
    const top = width < 520 ? 64 : 36; // the title stands above
    const box = { left: 0, top, width, height: height - top };
    this.target(watched, shown, box, now);
    const share = width / Math.max(1, poses.length);
    poses.forEach(([name, pose], i) => {
      const hand = this.cameras[name].project(pose.points, { ...box, left: i * share, width: share }, now);
      const asked = !side || side === name || poses.length === 1;
      this.hand(hand, name, pose.presence * (asked ? 1 : 0.45));
    });
    return poses.length;
  }

  // A hand that fades is painted whole and laid on top: its parts must not show through each other.
  hand(hand, name, alpha) {
    const { canvas } = this.layer;
    if (canvas.width !== this.canvas.width || canvas.height !== this.canvas.height) {
      canvas.width = this.canvas.width;
      canvas.height = this.canvas.height;
    }
    this.layer.setTransform(1, 0, 0, 1, 0, 0);
    this.layer.clearRect(0, 0, canvas.width, canvas.height);
    this.layer.setTransform(this.ctx.getTransform());
    drawHand(this.layer, hand, name);
    this.ctx.save();
    this.ctx.setTransform(1, 0, 0, 1, 0, 0);
    this.ctx.globalAlpha = alpha;
    this.ctx.drawImage(canvas, 0, 0);
    this.ctx.restore();
  }

  fit() {
    const ratio = Math.min(3, window.devicePixelRatio || 1);
    const width = this.canvas.clientWidth;
    const height = this.canvas.clientHeight;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    this.ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    return { width, height };
  }

  // A ring that fills as the movement nears its target, and a ripple for each full repetition.
  target(watched, shown, box, now) {
    const { ctx } = this;
    const colours = palette();
    const tint = watched.latest?.side === "left" ? colours.left : colours.right;
    const [x, y] = [box.width / 2, box.top + box.height / 2];
    const radius = Math.min(box.width, box.height) * 0.455;
    const edge = watched.trace.edge(shown === null ? null : shown / 1000);
    const z = edge === null ? null : watched.trace.at(edge);
    this.ring += (Math.max(0, Math.min(1, z ?? 0)) - this.ring) * 0.35;
    ctx.save();
    ctx.lineCap = "round";
    ctx.lineWidth = 5;
    ctx.strokeStyle = colours.faint;
    circle(ctx, x, y, radius, 1);
    if (z !== null && this.ring > 0.004) {
      ctx.strokeStyle = this.ring > 0.9 ? colours.full : tint;
      circle(ctx, x, y, radius, this.ring);
    }
    const since = now - watched.pulse;
    if (since < PULSE_MS) {
      const u = since / PULSE_MS;
      ctx.lineWidth = 5 * (1 - u) + 1;
      ctx.strokeStyle = blend(colours.full, colours.stage, u, 1 - u);
      circle(ctx, x, y, radius * (1 + 0.1 * u), 1);
    }
    ctx.restore();
  }
}

function circle(ctx, x, y, radius, share) {
  ctx.beginPath();
  ctx.arc(x, y, radius, -Math.PI / 2, -Math.PI / 2 + 2 * Math.PI * share);
  ctx.stroke();
}
