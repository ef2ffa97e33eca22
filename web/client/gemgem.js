// The reference client of /game for games and pages: one session, over as many connections as it
// takes. docs/clients.md explains it step by step. Nothing but a Socket.IO client is needed; it is
// handed in as `io`, and the parser of your choice with it.
import { Link, LineLostError, RefusedError } from "./link.js";
import { Ring } from "./ring.js";

export { LineLostError, RefusedError };

const RETRY_MS = 250; // before sending again when the server names no time
const KEPT = 20_000; // messages kept while they wait for `stored`
const PLAY = ["score", "peak", "rep", "advice", "steer"];

export class GamePlayer {
  /**
   * io: of socket.io-client. urls: servers, tried in turn. token: a string, or a function that
   * returns (a promise of) a fresh one. on: handlers by event: score, peak, rep, advice, steer of the
   * server; `up`, `down` and `over` (with the error) of the connection. patienceMs: how long after a loss
   * another connection is sought; by default as long as the server keeps the session without one.
   */
  constructor({ io, urls, token, client, parser, on = {}, random = Math.random, patienceMs = null }) {
    this.on = on;
    this.ring = new Ring();
    this.limits = { messages_s: 120, unacked: 256, unacked_bytes: 1_000_000, grace_s: 300 };
    this.followsGrace = patienceMs === null;
    this.sessionId = null;
    this.again = []; // to be asked again, under its old seq
    this.turn = 0; // counts the pacings: an old one ends when a new one begins
    this.pacing = false;
    this.holdUntil = 0;
    this.link = new Link({
      io, urls, token, client, parser, random,
      patienceMs: patienceMs ?? this.limits.grace_s * 1000,
      wire: (socket) => this.wire(socket),
      resume: (socket, welcome) => this.resume(socket, welcome),
      tell: {
        up: (welcome) => this.begin(welcome),
        down: () => this.rest(),
        over: (error) => this.ended(error),
      },
    });
  }

  /** Connect; rejects when no server of the list lets us in. Resolves with `welcome`. */
  connect() {
    return this.link.connect();
  }

  /** Open the session; the same `client_key` opens the same one if the answer was lost. */
  async openSession(request) {
    const deadline = performance.now() + this.link.patienceMs;
    for (;;) {
      await this.link.untilUp();
      const { socket } = this.link;
      try {
        const opened = await this.link.call(socket, "session:open", request);
        this.sessionId = opened.session_id;
        this.resumeToken = opened.resume_token;
        this.take(opened.limits);
        return opened;
      } catch (error) {
        const wait = error instanceof RefusedError ? this.link.waitAfter(error) : 0;
        if (wait === null || performance.now() + wait > deadline) throw error;
        if (error instanceof LineLostError && socket.connected) throw error;
        await this.link.pauseFor(wait);
      }
    }
  }

  startSet(request) {
    return this.ask("set:start", request);
  }

  /** Send one frame message, an ArrayBuffer. Never waits: the ring keeps it for the server. */
  frames(buffer) {
    return this.append("frames", buffer).seq;
  }

  async endSet(setNo) {
    return (await this.ask("set:end", { set_no: setNo })).record;
  }

  pause(paused, reason) {
    return this.ask("session:pause", reason === undefined ? { paused } : { paused, reason });
  }

  /** Close the session; resolves with the TherapyResult once everything is stored. */
  closeSession(request) {
    return this.ask("session:close", request);
  }

  disconnect() {
    this.on = {};
    this.link.end(new LineLostError("we left"));
  }

  // -- numbered messages

  ask(event, body) {
    return new Promise((resolve, reject) => this.append(event, body, { resolve, reject }));
  }

  append(event, body, answer = null) {
    if (this.link.over) throw this.link.over;
    if (this.ring.messages.length >= KEPT) throw new RefusedError({ code: "busy", message: "the ring is full" });
    const message = this.ring.append(event, body, answer);
    this.send();
    return message;
  }

  /** Send what is due, in order: at once when nothing is repeated, paced when something is. */
  send() {
    while (this.link.up && !this.pacing && this.maySend()) {
      const message = this.ring.next();
      if (message === null) return;
      this.transmit(message);
    }
  }

  /** Whether another message may go out ahead of `buffered`; one alone may be of any size. */
  maySend() {
    const underWay = this.ring.cursor - 1 - this.ring.buffered;
    return underWay <= 0
      || (underWay < this.limits.unacked && this.ring.bytesWithNext <= this.limits.unacked_bytes);
  }

  take(limits) {
    Object.assign(this.limits, limits);
    if (this.followsGrace) this.link.patienceMs = this.limits.grace_s * 1000;
  }

  transmit({ seq, event, body, answer }) {
    const told = answer && ((told) => this.answered(seq, told));
    this.link.socket.emit(event, seq, body, ...(told ? [told] : []));
  }

  /** Send nothing for a while, then what is unanswered, then what is due, at half the rate. */
  hold(ms) {
    this.holdUntil = Math.max(this.holdUntil, performance.now() + ms);
    if (this.pacing || !this.link.up) return;
    this.pacing = true;
    const turn = ++this.turn;
    const step = () => {
      if (turn !== this.turn) return;
      const wait = this.holdUntil - performance.now();
      if (wait > 0) return void this.link.later(wait, step);
      const message = this.again.find((asked) => !asked.settled) ?? (this.maySend() ? this.ring.next() : null);
      this.again = this.again.slice(this.again.indexOf(message) + 1);
      if (message === null) {
        this.pacing = false;
        return;
      }
      this.transmit(message);
      this.link.later(2000 / this.limits.messages_s, step);
    };
    step();
  }

  answered(seq, { ok, error }) {
    const message = this.ring.messages[seq - this.ring.start];
    if (!message || message.settled) return; // a repetition may be answered twice
    if (error?.code === "gap") return this.gap(error.details);
    if (error && (error.code === "busy" || error.code === "rate_limited")) {
      return this.sendAgain(seq, error.retry_ms);
    }
    message.settled = true;
    if (error) message.answer.reject(new RefusedError(error));
    else message.answer.resolve(ok);
    this.ring.acknowledge(this.ring.buffered, this.ring.stored);
  }

  sendAgain(seq, retryMs = RETRY_MS) {
    if (this.ring.rewind(seq)) this.hold(retryMs);
    else this.lost(seq);
  }

  gap({ expected }) {
    if (this.ring.forfeit(expected)) this.hold(0);
    else this.lost(expected);
  }

  lost(expected) {
    this.link.end(new RefusedError({ code: "lost", message: `the server asks for seq ${expected}` }));
  }

  // -- the connection

  wire(socket) {
    for (const event of PLAY) socket.on(event, (content) => this.on[event]?.(content));
    socket.on("ack", ({ buffered, stored }) => {
      this.ring.acknowledge(buffered, stored);
      this.send();
    });
    socket.on("gap", (hole) => this.gap(hole));
    socket.on("refused", (refusal) => {
      const { seq, code, retry_ms: retryMs } = refusal;
      if (code === "busy" || code === "rate_limited") this.sendAgain(seq, retryMs);
      else if (code === "session_sealed") this.link.end(new RefusedError(refusal));
    });
    socket.on("slow_down", ({ delay_ms: delay }) => this.hold(delay));
  }

  async resume(socket, welcome) {
    Object.assign(this.limits, welcome.limits);
    if (this.sessionId === null) return;
    const asked = { session_id: this.sessionId, resume_token: this.resumeToken };
    const { outcome, expected, stored, limits, state } = await this.link.call(socket, "session:resume", asked);
    this.take(limits);
    if (!this.ring.resume(expected, stored)) {
      throw new RefusedError({ code: "lost", message: `the server asks for seq ${expected}` });
    }
    if (outcome === "sealed" && state.result) {
      const close = this.ring.messages.find(({ event, settled }) => event === "session:close" && !settled);
      if (close) Object.assign(close, { settled: true }).answer.resolve(state.result);
      throw new RefusedError({ code: "session_sealed", message: "sealed while we were away" });
    }
    this.again = this.ring.unanswered();
  }

  begin(welcome) {
    this.on.up?.(welcome);
    this.hold(0);
  }

  rest() {
    this.turn += 1;
    this.pacing = false;
    this.on.down?.();
  }

  ended(error) {
    this.turn += 1;
    for (const message of this.ring.messages) {
      if (!message.settled) Object.assign(message, { settled: true }).answer.reject(error);
    }
    this.on.over?.(error);
  }
}
