// The primary signal of the last seconds: samples in time order, and the reps marked on it.

export const SPAN_S = 10;
const KEEP_S = SPAN_S + 3;

export class Trace {
  constructor() {
    this.clear();
  }

  clear() {
    this.t = [];
    this.z = [];
    this.interval = 0; // seconds between samples, smoothed
    this.marks = new Map(); // "set_no/rep_no" -> {t, z, class}
  }

  /** Replace everything by a snapshot's `[t_us, z]` pairs. */
  load(pairs) {
    this.clear();
    for (const [tUs, z] of pairs ?? []) this.add(tUs, z);
  }

  add(tUs, z) {
    const t = tUs / 1e6;
    const last = this.t[this.t.length - 1];
    if (last !== undefined && t < last - KEEP_S) this.clear(); // the device clock began anew
    else if (last !== undefined && t <= last) return;
    else if (last !== undefined) this.interval += 0.2 * (Math.min(0.5, t - last) - this.interval);
    this.t.push(t);
    this.z.push(Number.isFinite(z) ? z : null);
    while (this.t[0] < t - KEEP_S) {
      this.t.shift();
      this.z.shift();
    }
  }

  // A peak is told when the movement has come back from it: it joins the samples where it belongs.
  peak({ set_no, rep_no, t_us, z }) {
    this.insert(t_us / 1e6, z);
    this.marks.set(`${set_no}/${rep_no}`, { t: t_us / 1e6, z, class: "pending" });
    const oldest = t_us / 1e6 - KEEP_S;
    for (const [key, mark] of this.marks) if (mark.t < oldest) this.marks.delete(key);
  }

  insert(t, z) {
    let i = this.t.length;
    while (i > 0 && this.t[i - 1] >= t) i -= 1;
    if (i === 0 || this.t[i] === t) return;
    this.t.splice(i, 0, t);
    this.z.splice(i, 0, z);
  }

  // A repetition whose peak was told before we came is marked where the signal says it was.
  rep(rep) {
    const key = `${rep.set_no}/${rep.rep_no}`;
    const mark = this.marks.get(key);
    const t = rep.t_us / 1e6;
    if (mark) mark.class = rep.class;
    else if (t >= this.t[0] && t <= this.newest()) this.marks.set(key, { t, z: this.at(t), class: rep.class });
  }

  dropPending() {
    for (const [key, mark] of this.marks) if (mark.class === "pending") this.marks.delete(key);
  }

  /** The time up to which the signal is drawn while `shown` seconds are: late by one sample. */
  edge(shown) {
    const newest = this.newest();
    if (shown === null || newest === null) return newest;
    return shown - Math.min(0.4, 1.15 * this.interval);
  }

  newest() {
    return this.t.length ? this.t[this.t.length - 1] : null;
  }

  /** The signal at `t` seconds, linear between samples; null without any. */
  at(t) {
    let i = this.t.length - 1;
    if (i < 0) return null;
    while (i > 0 && this.t[i] > t) i -= 1;
    const a = this.z[i];
    const b = this.z[i + 1];
    if (a === null || b === undefined || b === null || t <= this.t[i]) return a;
    return a + ((b - a) * (t - this.t[i])) / (this.t[i + 1] - this.t[i]);
  }
}
