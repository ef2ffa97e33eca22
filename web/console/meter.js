// The feed's meter: server-to-page latency, hand frames a second, and what was missed.

const WINDOW_MS = 2000;

export const localUs = () => (performance.timeOrigin + performance.now()) * 1000;

export class Meter {
  constructor() {
    this.shiftUs = null; // server clock minus ours
    this.bestRtt = Infinity;
    this.clear();
  }

  clear() {
    this.samples = [];
    this.frames = [];
    this.last = null;
    this.missed = 0;
  }

  /** Learn the server's clock from a call that carried its time; the quickest call wins. */
  sync(sentUs, receivedUs, serverUs) {
    const rtt = receivedUs - sentUs;
    if (!Number.isFinite(serverUs) || rtt > this.bestRtt) return;
    this.bestRtt = rtt;
    this.shiftUs = serverUs - (sentUs + receivedUs) / 2;
  }

  /** Forget the clock: another server may answer after a reconnect. */
  unsync() {
    this.bestRtt = Infinity;
    this.shiftUs = null;
  }

  /** A snapshot covers everything up to `offset`. */
  restart(offset) {
    this.last = offset;
  }

  /** Count one feed event that carried `frames` hand frames. */
  take(offset, frames, sentUs) {
    const now = performance.now();
    if (this.last !== null && offset > this.last + 1) this.missed += offset - this.last - 1;
    this.last = offset;
    if (frames > 0) this.frames.push([now, frames]);
    if (this.shiftUs !== null && Number.isFinite(sentUs)) {
      const took = (localUs() + this.shiftUs - sentUs) / 1000;
      if (took < 0) this.shiftUs -= took * 1000; // our estimate was late by that much
      this.samples.push([now, Math.max(0, took)]);
    }
  }

  /** {latency_ms, fps, missed}; latency is the median of the last two seconds, null when unknown. */
  read() {
    const since = performance.now() - WINDOW_MS;
    this.samples = this.samples.filter(([at]) => at >= since);
    this.frames = this.frames.filter(([at]) => at >= since);
    const times = this.samples.map(([, took]) => took).sort((a, b) => a - b);
    let fps = 0;
    for (const [, n] of this.frames) fps += n;
    return {
      latency_ms: times.length ? times[times.length >> 1] : null,
      fps: fps / (WINDOW_MS / 1000),
      missed: this.missed,
    };
  }
}
