// The page's arithmetic: playout, signal, meter. Run by tests/web/test_modules.py.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Camera } from "../../web/console/pose.js";
import { Meter, localUs } from "../../web/console/meter.js";
import { Playout } from "../../web/console/playout.js";
import { Trace } from "../../web/console/trace.js";
import { Watched } from "../../web/console/watched.js";

const hand = (x) => new Float32Array(63).fill(x);
const record = (ms, x, more = {}) => ({ t_us: ms * 1000, side: "right", absent: false, points: hand(x), ...more });

// Two pictures a message, each message late by up to 20 ms, on a device clock of its own.
function play(playout, until, shift = 5000) {
  const late = [0, 14, 3, 20, 7, 0, 11];
  for (let k = 0, i = 0; k < until; k += 2000 / 30, i += 1) {
    const first = k + 1000 / 30;
    playout.push([record(shift + k, k), record(shift + first, first)], first + late[i % 7]);
  }
}

test("bursts and jitter come out as an even movement", () => {
  const playout = new Playout();
  play(playout, 3000);
  const at = [];
  for (let now = 2800; now < 3000; now += 16) {
    at.push(playout.pose("right", playout.shown(now)).points[0]);
  }
  const steps = at.slice(1).map((x, i) => x - at[i]);
  assert.ok(Math.min(...steps) > 15.5 && Math.max(...steps) < 16.5, steps.join(" "));
});

test("the hand is shown at most a quarter of a second late", () => {
  const playout = new Playout();
  play(playout, 3000);
  const behind = 3000 - (playout.shown(3000) - 5000);
  assert.ok(behind > 60 && behind < 250, String(behind));
});

test("a hand out of view fades and goes, and no picture is drawn from the future", () => {
  const playout = new Playout();
  assert.equal(playout.shown(0), null);
  assert.equal(playout.pose("right", 10), null);
  playout.push([record(1000, 1)], 0);
  playout.push([record(1033, 0, { absent: true })], 33);
  assert.equal(playout.pose("right", 1050).presence, 1);
  const fading = playout.pose("right", 1600).presence;
  assert.ok(fading > 0 && fading < 1, String(fading));
  assert.equal(playout.pose("right", 1801), null);
  assert.equal(playout.pose("left", 1000), null);
});

test("a device clock that begins anew starts over", () => {
  const playout = new Playout();
  play(playout, 500, 900000);
  playout.push([record(10, 7)], 600);
  assert.equal(playout.tracks.right.length, 1);
  assert.equal(playout.pose("right", 10).points[0], 7);
});

test("samples stay in order, late peaks find their place, old ones go", () => {
  const trace = new Trace();
  trace.load([[0, 0], [200_000, 0.5], [400_000, 0.4], [300_000, 9]]);
  trace.peak({ set_no: 1, rep_no: 1, t_us: 250_000, z: 0.8 });
  assert.deepEqual(trace.t, [0, 0.2, 0.25, 0.4]);
  assert.equal(trace.at(0.25), 0.8);
  assert.equal(trace.at(0.1), 0.25);
  assert.equal(trace.marks.get("1/1").class, "pending");
  trace.rep({ set_no: 1, rep_no: 1, class: "partial" });
  assert.equal(trace.marks.get("1/1").class, "partial");
  trace.rep({ set_no: 1, rep_no: 2, class: "full", t_us: 300_000 });
  assert.equal(trace.marks.get("1/2").z.toFixed(4), "0.6667");
  trace.rep({ set_no: 1, rep_no: 3, class: "full", t_us: 900_000 });
  assert.equal(trace.marks.size, 2);
  trace.add(13_200_000, null);
  assert.deepEqual(trace.t, [0.2, 0.25, 0.4, 13.2]);
  assert.equal(trace.at(13.2), null);
  trace.add(1_000, 1);
  assert.deepEqual(trace.t, [0.001]);
});

test("an offset that jumps counts as missed, from the snapshot's on", () => {
  const meter = new Meter();
  meter.restart(10);
  meter.take(11, 2, undefined);
  meter.take(14, 2, undefined);
  assert.deepEqual(meter.read(), { latency_ms: null, fps: 2, missed: 2 });
  meter.restart(40);
  meter.take(41, 0, undefined);
  assert.equal(meter.read().missed, 2);
});

test("latency is told on the server's clock", () => {
  const meter = new Meter();
  const ahead = 3_600_000_000; // the server's clock is an hour ahead
  const now = localUs();
  meter.sync(now - 4000, now, now - 2000 + ahead);
  meter.sync(now - 90_000, now, now + 1e9); // a slower call knows less
  meter.restart(0);
  meter.take(1, 2, localUs() + ahead - 30_000);
  const { latency_ms } = meter.read();
  assert.ok(latency_ms >= 30 && latency_ms < 60, String(latency_ms));
});

test("the camera keeps palm and size in the picture", () => {
  const camera = new Camera();
  const points = new Float32Array(63);
  for (let k = 1; k < 21; k += 1) points.set([0.02 * Math.cos(k), -0.005 * k, 0.01 * Math.sin(k)], 3 * k);
  const box = { left: 100, top: 50, width: 400, height: 300 };
  const drawn = camera.project(points, box, 0);
  for (const { x, y } of drawn) assert.ok(x > 100 && x < 500 && y > 50 && y < 350, `${x} ${y}`);
  let moved;
  const larger = points.map((v) => 3 * v);
  for (let now = 0; now < 12_000; now += 33) moved = camera.project(larger, box, now);
  drawn.forEach(({ x, y }, k) => {
    assert.ok(Math.abs(moved[k].x - x) < 30 && Math.abs(moved[k].y - y) < 30);
  });
});

const shot = (more) => ({
  alias: "Fox 1", state: "playing", set: null, reps: [], score: null, frames: {}, trace: [], records: [],
  ...more,
});
const set = { set_no: 1, motion: "fist", side: "right", asked_reps: 8 };
const rep = (n, name) => ({ set_no: 1, rep_no: n, class: name, completeness: 95 });
const none = new ArrayBuffer(0);

test("feed events that overtake the snapshot wait for it, and none counts twice", () => {
  const watched = new Watched("s1", { alias: "Fox 1" });
  watched.feed(5, none, { rep: rep(1, "full") });
  watched.feed(6, none, { peak: { set_no: 1, rep_no: 2, t_us: 2_000_000, z: 0.7 } });
  watched.feed(7, none, { rep: rep(2, "partial") });
  assert.equal(watched.reps.length, 0);
  watched.snapshot(shot({ set, reps: [rep(1, "full")], trace: [[1_000_000, 0], [3_000_000, 0]] }), 1, 5);
  assert.deepEqual(watched.reps.map((r) => r.class), ["full", "partial"]);
  assert.deepEqual([watched.full, watched.partial], [1, 1]);
  assert.equal(watched.trace.marks.get("1/2").class, "partial");
  assert.equal(watched.meter.read().missed, 0);
});

test("between two sets the finished one stays in view with the counts of its record", () => {
  const watched = new Watched("s1", null);
  watched.snapshot(shot({ set, trace: [[1_000_000, 0.2]] }), 1, 0);
  const score = { set_no: 1, t_us: 1_100_000, z: 0.4, full: 1, partial: 0, quality: 0.9 };
  watched.feed(1, none, { rep: rep(1, "full"), score });
  watched.feed(2, none, { peak: { set_no: 1, rep_no: 2, t_us: 1_050_000, z: 0.9 } });
  watched.snapshot(shot({ records: [{ set_no: 1, motion: "fist", grade: 80, stars: 3, full: 2, partial: 0 }] }), 1, 2);
  assert.equal(watched.set, null);
  assert.deepEqual([watched.full, watched.partial, watched.quality], [2, 0, 0.9]);
  assert.equal(watched.trace.t.length, 3);
  assert.equal(watched.trace.marks.size, 0);
  assert.ok(!watched.foreign({ score: { set_no: 1 } }));
  assert.ok(watched.foreign({ score: { set_no: 2 } }));
  watched.snapshot(shot({ set: { ...set, set_no: 2 } }), 1, 3);
  assert.deepEqual([watched.full, watched.reps.length, watched.trace.t.length], [0, 0, 0]);
});
