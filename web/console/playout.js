// Playout: turns frames that arrive in bursts into a hand that moves evenly, a moment behind.

const KEEP_MS = 1500; // how much of the past each hand keeps
const LOST_MS = 800; // a hand unseen this long is gone
const FADE_MS = 350; // and fades from here on
const RESET_MS = 2000; // a jump of the device clock starts the mapping anew
const RISE = 0.002; // how fast the clock mapping follows a growing delay, ms per ms

export class Playout {
  constructor() {
    this.clear();
  }

  clear() {
    this.tracks = { left: [], right: [] };
    this.base = null; // arrival minus capture of the quickest message, ms
    this.interval = 50; // ms between messages, smoothed
    this.lastArrival = null;
  }

  /** Take the records of one message that arrived at `now` (ms). */
  push(records, now) {
    const newest = records[records.length - 1].t_us / 1000;
    const shift = now - newest;
    if (this.base === null || Math.abs(shift - this.base) > RESET_MS) {
      this.tracks = { left: [], right: [] };
      this.base = shift;
    } else {
      const rise = RISE * Math.max(0, now - this.lastArrival);
      this.base = Math.min(shift, this.base + rise);
      const gap = Math.min(250, now - this.lastArrival);
      this.interval += 0.05 * (gap - this.interval);
    }
    this.lastArrival = now;
    for (const record of records) {
      const track = this.tracks[record.side];
      if (!track) continue;
      const t = record.t_us / 1000;
      if (track.length > 0 && t <= track[track.length - 1].t) continue;
      track.push({ t, absent: record.absent, points: record.points });
      while (track.length > 2 && track[0].t < t - KEEP_MS) track.shift();
    }
  }

  /** The device time shown at `now`, ms; null before the first frame. */
  shown(now) {
    if (this.base === null) return null;
    return now - this.base - Math.min(220, 1.25 * this.interval + 12);
  }

  /** The pose of one hand at device time `t`: {points, presence 0-1}, or null when it is not in view. */
  pose(side, t) {
    const track = this.tracks[side];
    if (t === null || track.length === 0) return null;
    let i = track.length - 1;
    while (i > 0 && track[i].t > t) i -= 1;
    const from = track[i];
    const to = track[i + 1];
    const seen = lastSeen(track, i);
    if (seen === null || t - seen.t > LOST_MS) return null;
    const presence = 1 - Math.max(0, Math.min(1, (t - seen.t - FADE_MS) / (LOST_MS - FADE_MS)));
    if (from.absent || !to || to.absent || to.t - from.t > LOST_MS || t <= from.t) {
      return { points: seen.points, presence };
    }
    return { points: mix(from.points, to.points, (t - from.t) / (to.t - from.t)), presence };
  }
}

function lastSeen(track, from) {
  for (let i = from; i >= 0; i -= 1) if (!track[i].absent) return track[i];
  return null;
}

function mix(a, b, u) {
  const out = new Float32Array(a.length);
  for (let i = 0; i < a.length; i += 1) out[i] = a[i] + (b[i] - a[i]) * u;
  return out;
}
