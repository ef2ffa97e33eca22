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
    this.set = null; // the open set; null between two
    this.latest = null; // the open set, or the one before it
    this.reps = [];
    this.records = [];
    this.score = null;
    this.quality = summary?.quality ?? null;
    this.ended = null;
    this.endedAt = null;
    this.epoch = null;
    this.joined = false;
    this.early = [];
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
    this.records = [...(shot.records ?? [])];
    this.meter.restart(offset);
    const before = this.set;
    this.set = shot.set;
    if (shot.set !== null) this.begin(shot, this.latest);
    else if (before !== null) this.settle(); // what was counted stays in view until the next set
    this.latest = shot.set ?? this.latest;
    for (const side of SIDES) this.frames(shot.frames?.[side]);
    const early = this.early.filter(([at]) => at > offset);
    this.early = [];
    for (const event of early) this.feed(...event);
  }

  begin(shot, before) {
    this.reps = [...(shot.reps ?? [])];
    this.score = shot.score;
    this.quality = shot.quality ?? shot.score?.quality ?? null;
    const { marks } = this.trace;
    this.trace.load(shot.trace);
    if (before?.set_no === shot.set.set_no) this.trace.marks = marks;
    for (const rep of this.reps) this.trace.rep(rep);
  }

  // A peak that no repetition followed was none: the set's record has the last word on the counts.
  settle() {
    this.trace.dropPending();
    const record = this.records[this.records.length - 1];
    if (record) this.score = { ...this.score, full: record.full, partial: record.partial };
  }

  /**
   * Take one feed event; true when what the panel shows has changed. The first ones may overtake
   * the answer that carries the snapshot: they wait for it.
   */
  feed(offset, bytes, info) {
    if (!this.joined) {
      this.early.push([offset, bytes, info]);
      return false;
    }
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
    return set !== undefined && set !== this.latest?.set_no;
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
