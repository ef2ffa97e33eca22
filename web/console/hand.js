// The drawn hand: soft limbs painted from far to near, bones and joints inside them.
import { blend, palette } from "./palette.js";

// From joint, to joint, radius at each in palm lengths.
const LIMBS = [
  [1, 2, 0.15, 0.135], [2, 3, 0.135, 0.115], [3, 4, 0.115, 0.092],
  [5, 6, 0.122, 0.108], [6, 7, 0.108, 0.096], [7, 8, 0.096, 0.078],
  [9, 10, 0.125, 0.11], [10, 11, 0.11, 0.098], [11, 12, 0.098, 0.08],
  [13, 14, 0.12, 0.106], [14, 15, 0.106, 0.094], [15, 16, 0.094, 0.077],
  [17, 18, 0.108, 0.094], [18, 19, 0.094, 0.083], [19, 20, 0.083, 0.068],
];
const PARENT = [0, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19];
const PALM = [0, 1, 5, 9, 13, 17];
const PALM_BONES = [1, 5, 9, 13, 17];
const SHADE = [0.13, 0.11, 0.09, 0.07, 0.05, 0.035, 0.02, 0.01]; // widths, in palm lengths
const LIGHT = [-0.64, -0.77]; // towards the upper left

/** Draw one projected hand (see pose.js) with its side's colours. */
export function drawHand(ctx, hand, side) {
  const colours = shades(side);
  const parts = LIMBS.map(([a, b, ra, rb]) => ({
    depth: (hand[a].depth + hand[b].depth) / 2,
    draw: () => limb(ctx, hand, a, b, ra, rb, colours),
  }));
  const palmDepth = PALM.reduce((sum, k) => sum + hand[k].depth, 0) / PALM.length;
  parts.push({ depth: palmDepth - 0.02, draw: () => palm(ctx, hand, colours, palmDepth) });
  parts.sort((a, b) => a.depth - b.depth);
  ctx.save();
  ctx.lineJoin = "round";
  ctx.lineCap = "round";
  for (const part of parts) part.draw();
  ctx.restore();
}

function shades(side) {
  const p = palette();
  const name = side === "left" ? "left" : "right";
  const deep = p[`${name}Deep`];
  const shade = blend(deep, "#000000", 0.35, 0.075);
  return { main: p[name], deep, pale: p[`${name}Pale`], bone: p.bone, shade };
}

// Far parts sink into the deep colour, near ones rise to the pale one.
function skin(colours, depth) {
  const u = Math.max(-1, Math.min(1, depth * 1.1));
  return u < 0 ? blend(colours.main, colours.deep, -u) : blend(colours.main, colours.pale, u);
}

function limb(ctx, hand, a, b, ra, rb, colours) {
  const from = { ...hand[a], r: ra * hand[a].k };
  const to = { ...hand[b], r: rb * hand[b].k };
  shadow(ctx, from, to, colours);
  ctx.fillStyle = round(ctx, from, to, colours);
  capsule(ctx, from, to);
  ctx.fill();
  bone(ctx, from, to, hand[PARENT[a]], colours);
}

// A limb is round: across its length the colour runs from the lit edge to the shaded one.
function round(ctx, from, to, colours) {
  const depth = (from.depth + to.depth) / 2;
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  const [nx, ny] = [-(to.y - from.y) / length, (to.x - from.x) / length];
  const [mx, my] = [(from.x + to.x) / 2, (from.y + to.y) / 2];
  const r = Math.max(from.r, to.r);
  const fill = ctx.createLinearGradient(mx - nx * r, my - ny * r, mx + nx * r, my + ny * r);
  const lit = 0.5 + 0.3 * (nx * LIGHT[0] + ny * LIGHT[1]);
  fill.addColorStop(0, skin(colours, depth - 0.55 * lit));
  fill.addColorStop(lit, skin(colours, depth + 0.42));
  fill.addColorStop(1, skin(colours, depth - 0.55 * (1 - lit)));
  return fill;
}

// The soft shade a limb throws on what lies behind it; none on the limb it grows from.
function shadow(ctx, from, to, colours) {
  const root = { x: from.x + (to.x - from.x) * 0.25, y: from.y + (to.y - from.y) * 0.25, r: from.r * 0.96 };
  ctx.save();
  ctx.globalCompositeOperation = "source-atop"; // on what is painted, never on the empty stage
  ctx.fillStyle = colours.shade;
  for (const gap of SHADE) {
    capsule(ctx, root, { x: to.x, y: to.y, r: to.r + gap * from.k });
    ctx.fill();
  }
  ctx.restore();
}

// The bone inside a limb, with the end of the bone before it, which the limb's root covers.
function bone(ctx, from, to, before, colours) {
  const near = Math.max(0, Math.min(1, 0.5 + (from.depth + to.depth) / 2));
  const back = Math.hypot(before.x - from.x, before.y - from.y) || 1;
  const stub = Math.min(1, from.r / back);
  ctx.strokeStyle = blend(colours.deep, colours.bone, 0.6 + 0.4 * near);
  ctx.lineWidth = Math.max(1.6, 0.013 * (from.k + to.k));
  ctx.beginPath();
  ctx.moveTo(from.x + (before.x - from.x) * stub, from.y + (before.y - from.y) * stub);
  ctx.lineTo(from.x, from.y);
  ctx.lineTo(to.x, to.y);
  ctx.stroke();
  joint(ctx, from, colours);
  joint(ctx, to, colours);
}

function joint(ctx, point, colours) {
  const r = Math.max(2.2, 0.034 * point.k);
  ctx.fillStyle = colours.bone;
  disc(ctx, point.x, point.y, r);
  ctx.fillStyle = blend(colours.deep, "#000000", 0.1);
  disc(ctx, point.x, point.y, r * 0.5);
}

function palm(ctx, hand, colours, depth) {
  const [wrist, middle] = [hand[0], hand[9]];
  const rim = 0.118 * wrist.k;
  const path = palmPath(hand, rim);
  const fill = ctx.createLinearGradient(wrist.x, wrist.y, middle.x, middle.y + 0.01);
  fill.addColorStop(0, skin(colours, wrist.depth - 0.42));
  fill.addColorStop(0.6, skin(colours, depth - 0.02));
  fill.addColorStop(1, skin(colours, middle.depth + 0.1));
  ctx.fillStyle = fill;
  ctx.fill(path);
  ctx.strokeStyle = blend(colours.deep, colours.bone, 0.72);
  ctx.lineWidth = Math.max(1.6, 0.024 * wrist.k);
  for (const k of PALM_BONES) {
    ctx.beginPath();
    ctx.moveTo(wrist.x, wrist.y);
    ctx.lineTo(hand[k].x, hand[k].y);
    ctx.stroke();
    joint(ctx, hand[k], colours);
  }
  joint(ctx, wrist, colours);
}

// The palm's outline: a rounded hull, `rim` wider than the wrist, the thumb's root and the knuckles.
function palmPath(hand, rim) {
  const [w, m] = [hand[0], hand[9]];
  const length = Math.hypot(m.x - w.x, m.y - w.y) || 1;
  const [ax, ay] = [(m.y - w.y) / length, -(m.x - w.x) / length];
  const half = Math.min(0.2 * w.k, 0.05 * w.k + 0.3 * Math.hypot(hand[5].x - hand[17].x, hand[5].y - hand[17].y));
  const down = 0.1 * rim;
  const roots = [
    { x: w.x + ax * half - ay * down, y: w.y + ay * half + ax * down },
    { x: w.x - ax * half - ay * down, y: w.y - ay * half + ax * down },
  ];
  return inflate(hull([...roots, hand[1], hand[5], hand[9], hand[13], hand[17]]), rim);
}

// Andrew's monotone chain, counter-clockwise in a y-up plane.
function hull(points) {
  const sorted = [...points].sort((a, b) => a.x - b.x || a.y - b.y);
  const turn = (o, a, b) => (a.x - o.x) * (b.y - o.y) - (a.y - o.y) * (b.x - o.x);
  const half = (list) => {
    const out = [];
    for (const p of list) {
      while (out.length > 1 && turn(out[out.length - 2], out[out.length - 1], p) <= 0) out.pop();
      out.push(p);
    }
    return out.slice(0, -1);
  };
  return [...half(sorted), ...half(sorted.reverse())];
}

// A convex polygon pushed out by r, its corners rounded.
function inflate(corners, r) {
  const path = new Path2D();
  corners.forEach((p, i) => {
    const before = corners[(i + corners.length - 1) % corners.length];
    const after = corners[(i + 1) % corners.length];
    const side = (a, b) => Math.atan2(a.x - b.x, b.y - a.y);
    path.arc(p.x, p.y, r, side(before, p), side(p, after));
  });
  path.closePath();
  return path;
}

function disc(ctx, x, y, r) {
  ctx.beginPath();
  ctx.arc(x, y, r, 0, 2 * Math.PI);
  ctx.fill();
}

// The outline of two circles and their common tangents.
function capsule(ctx, a, b) {
  const angle = Math.atan2(b.y - a.y, b.x - a.x);
  const length = Math.hypot(b.x - a.x, b.y - a.y);
  ctx.beginPath();
  if (length <= Math.abs(a.r - b.r)) {
    const big = a.r > b.r ? a : b;
    ctx.arc(big.x, big.y, big.r, 0, 2 * Math.PI);
    return;
  }
  const lean = Math.acos((a.r - b.r) / length);
  ctx.arc(a.x, a.y, a.r, angle + lean, angle - lean);
  ctx.arc(b.x, b.y, b.r, angle - lean, angle + lean);
  ctx.closePath();
}
