// One watched session: the snapshot it began with, and every feed event since.
import { decodeFrames, SIDES } from "./frames.js";
import { Meter } from "./meter.js";
import { Playout } from "./playout.js";
import { Trace } from "./trace.js";

const RESULT_MS = 8000; // how long a result stays before the next child is shown

export class Watched {
  constructor(sessionId, summary, meter = new Meter()) {
    this.id = sessionId;
    this.alias = summary?.alias ?? "";
    this.state = summary?.state ?? null;
    this.summary = summary ?? null;
    this.set = null;
    this.reps = [];
    this.records = [];
    this.score = null;
    this.quality = summary?.quality ?? null;
    this.ended = null;
    this.endedAt = null;
    this.epoch = null;
    this.joined = false;
    this.pulse = 0; // performance.now() of the last full rep
    this.playout = new Playout();
    this.trace = new Trace();
    this.meter = meter;
    this.meter.clear();
  }

  get full() {
    return this.score?.full ?? this.count("full");
  }

  get partial() {
    return this.score?.partial ?? this.count("partial");
  }

  count(name) {
    return this.reps.reduce((n, rep) => n + (rep.class === name ? 1 : 0), 0);
  }

  get moveOnAt() {
    return this.endedAt === null ? null : this.endedAt + RESULT_MS;
  }

  snapshot(shot, epoch, offset) {
    this.joined = true;
    this.epoch = epoch;
    this.alias = shot.alias ?? this.alias;
    this.state = shot.state;
    this.set = shot.set;
    this.reps = [...(shot.reps ?? [])];
    this.records = [...(shot.records ?? [])];
    this.score = shot.score;
    this.quality = shot.quality ?? shot.score?.quality ?? null;
    this.meter.restart(offset);
    const marks = this.trace.marks;
    this.trace.load(shot.trace);
    for (const [key, mark] of marks) {
      if (key.startsWith(`${shot.set?.set_no}/`)) this.trace.marks.set(key, mark);
    }
    for (const rep of this.reps) this.trace.rep(rep);
    for (const side of SIDES) this.frames(shot.frames?.[side]);
  }

  /** Take one feed event; true when what the panel shows has changed. */
  feed(offset, bytes, info) {
    const count = this.frames(bytes);
    this.meter.take(offset, count, info.sent_us);
    const { score, peak, rep } = info;
    if (score) {
      this.score = score;
      this.quality = score.quality ?? this.quality;
      if (Number.isFinite(score.t_us)) this.trace.add(score.t_us, score.z);
    }
    if (peak) this.trace.peak(peak);
    if (rep) this.rep(rep);
    return Boolean(score || peak || rep);
  }

  /** True when an event speaks of a set this page has no snapshot of. */
  foreign(info) {
    const set = (info.score ?? info.peak ?? info.rep)?.set_no;
    return set !== undefined && set !== this.set?.set_no;
  }

  end(result) {
    this.ended = result ?? {};
    this.endedAt = performance.now();
  }

  rep(rep) {
    this.trace.rep(rep);
    if (!this.reps.some((known) => known.rep_no === rep.rep_no)) this.reps.push(rep);
    if (rep.class === "full") this.pulse = performance.now();
  }

  frames(bytes) {
    if (!bytes || bytes.byteLength === 0) return 0;
    const { records } = decodeFrames(bytes);
    this.playout.push(records, performance.now());
    return records.length;
  }
}
