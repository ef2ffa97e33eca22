// A connection that comes back: servers in turn, back-off with full jitter, tokens renewed.

const BASE_MS = 200; // the first bound of the back-off, doubled up to the cap
const CAP_MS = 5000;
const STEADY_MS = 5000; // a connection that held this long makes the back-off begin anew
const CONNECT_MS = 5000;
const CALL_MS = 10_000;
const LONGEST_MS = 2 ** 31 - 1; // of a timer
const PASSING = new Set(["busy", "rate_limited", "internal", "provider_unavailable"]);
const FOR_GOOD = new Set(["forbidden", "not_found", "session_sealed", "too_large", "invalid"]);

/** The server's answer when it is an error: `code`, `details` and `retryMs` beside the message. */
export class RefusedError extends Error {
  constructor({ code, message, details, retry_ms: retryMs }) {
    super(`${code}: ${message}`);
    Object.assign(this, { code, details, retryMs });
  }
}

export class LineLostError extends Error {}

export class Link {
  /**
   * wire: gives each new socket its handlers. resume: takes up the session on a new socket. tell: is
   * told `up` with the welcome, `down`, and `over` with the error after which there is no other.
   */
  constructor({ io, urls, token, client, parser, random, patienceMs, wire, resume, tell }) {
    Object.assign(this, { io, token, client, parser, random, patienceMs, wire, resume, tell });
    this.urls = [urls].flat();
    this.place = 0;
    this.tries = 0;
    this.up = false;
    this.over = null; // why there will be no other connection
    this.timers = new Set();
    this.waiting = []; // for a connection
  }

  /** Connect; rejects when no server of the list lets us in. Resolves with `welcome`. */
  async connect() {
    for (let n = 1; ; n += 1) {
      try {
        return await this.connectOnce();
      } catch (error) {
        if (n >= this.urls.length || this.waitAfter(error) === null) throw error;
      }
    }
  }

  async connectOnce() {
    const url = this.urls[this.place++ % this.urls.length];
    const token = typeof this.token === "function" ? await this.token() : this.token;
    const old = this.socket;
    this.socket = null; // what the old one still says is not ours
    old?.disconnect();
    const socket = this.io(`${url}/game`, {
      transports: ["websocket"], forceNew: true, reconnection: false, timeout: CONNECT_MS,
      auth: { token, client: this.client }, ...(this.parser ? { parser: this.parser } : {}),
    });
    this.socket = socket;
    this.notices = [];
    for (const event of ["superseded", "revoked", "closed"]) {
      socket.on(event, (content) => this.notices.push({ event, ...content }));
    }
    socket.on("draining", ({ retry_after_ms: delay }) => this.comeBack(delay * (1 + this.random() / 2)));
    this.wire(socket);
    try {
      const welcome = await new Promise((resolve, reject) => {
        this.later(CONNECT_MS, () => reject(new LineLostError("no welcome")));
        socket.once("welcome", resolve);
        socket.once("connect_error", ({ message, data }) =>
          reject(data?.code ? new RefusedError({ message, ...data }) : new LineLostError(message)));
        socket.once("disconnect", (reason) => reject(new LineLostError(reason)));
      });
      await this.resume(socket, welcome);
      if (!socket.connected) throw new LineLostError("lost at once");
      socket.on("disconnect", () => this.down(socket));
      this.upSince = performance.now();
      this.up = true;
      this.keepToken(socket, token);
      this.tell.up(welcome);
      this.waiting.splice(0).forEach(({ resolve }) => resolve());
      return welcome;
    } catch (error) {
      socket.disconnect();
      throw error;
    }
  }

  down(socket) {
    if (socket !== this.socket || this.over) return;
    this.rest();
    const final = this.notices.find(({ event, code }) => event !== "closed" || FOR_GOOD.has(code)
      || (code === "unauthenticated" && typeof this.token !== "function"));
    if (final) return void this.end(new RefusedError(final));
    this.comeBack(Math.max(0, ...this.notices.map((notice) => notice.retry_ms ?? 0)));
  }

  /** Seek another connection, from `delay` ms on, until there is one or patience is over. */
  async comeBack(delay) {
    if (this.returning || this.over) return;
    this.returning = true;
    if (performance.now() - (this.upSince ?? 0) > STEADY_MS) this.tries = 0;
    const deadline = performance.now() + delay + this.patienceMs;
    await this.pauseFor(delay);
    if (this.up) this.rest(); // a server that drains: we leave it
    for (let wait = this.backoff(); !this.over; ) {
      await this.pauseFor(wait);
      try {
        if (!this.over) await this.connectOnce();
        break;
      } catch (error) {
        wait = this.waitAfter(error);
        if (wait === null || performance.now() + wait > deadline) this.end(error);
      }
    }
    this.returning = false;
  }

  /** Full jitter: evenly between 0 and a bound that doubles, so that nobody comes back at once. */
  backoff() {
    return this.random() * Math.min(CAP_MS, BASE_MS * 2 ** Math.min(this.tries++, 30));
  }

  waitAfter(error) {
    if (!(error instanceof RefusedError)) return this.backoff();
    const fresh = error.code === "unauthenticated" && typeof this.token === "function";
    if (!PASSING.has(error.code) && error.retryMs === undefined && !fresh) return null;
    return (error.retryMs ?? 0) + this.backoff();
  }

  rest() {
    this.up = false;
    this.tell.down();
  }

  /** There will be no other connection. */
  end(error) {
    if (this.over) return;
    this.over = error;
    this.up = false;
    for (const timer of this.timers) clearTimeout(timer);
    this.socket?.disconnect();
    this.waiting.splice(0).forEach(({ reject }) => reject(error));
    this.tell.over(error);
  }

  /** Renew a token when four fifths of its life are over, for as long as the connection lasts. */
  keepToken(socket, token) {
    const end = typeof this.token === "function" ? expiresAt(token) : Infinity;
    if (end === Infinity) return;
    this.later(Math.min(Math.max(1000, (end - Date.now()) * 0.8), LONGEST_MS), async () => {
      if (!socket.connected) return;
      const fresh = await this.token();
      await this.call(socket, "token:renew", { token: fresh }).catch(() => {}); // `closed` will tell
      this.keepToken(socket, fresh);
    });
  }

  async call(socket, event, body) {
    let answer;
    try {
      answer = await socket.timeout(CALL_MS).emitWithAck(event, body);
    } catch {
      throw new LineLostError(`no answer to ${event}`);
    }
    if (answer.error) throw new RefusedError(answer.error);
    return answer.ok;
  }

  untilUp() {
    if (this.over) return Promise.reject(this.over);
    if (this.up) return Promise.resolve();
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  later(ms, then) {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      then();
    }, ms);
    this.timers.add(timer);
  }

  pauseFor(ms) {
    return new Promise((resolve) => this.later(ms, resolve));
  }
}

/** Unix milliseconds at which a JWT ends, unverified; Infinity if it does not say. */
export function expiresAt(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(payload)).exp * 1000 || Infinity;
  } catch {
    return Infinity;
  }
}
