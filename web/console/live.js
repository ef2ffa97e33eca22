// The console's state: the line to the server, the sessions live now, and the one being watched.
import { io } from "socket.io-client";
import { localUs, Meter } from "./meter.js";
import { Watched } from "./watched.js";

const CALL_MS = 8000;
const REFUSED = new Set(["unauthenticated", "forbidden", "invalid", "revoked"]);

export class Live {
  /** `changed` is called whenever something to draw has changed; high-rate data is read, not told. */
  constructor(changed) {
    this.changed = changed;
    this.link = "no_token"; // no_token, connecting, live, lost, refused
    this.refusal = null;
    this.sessions = new Map();
    this.watched = null;
    this.server = null;
    this.socket = null;
    this.meter = new Meter();
    this.rejoinAt = 0;
    this.reason = undefined; // an admin says why
  }

  /** Connect for an account, whose token may be another one at each connect. */
  open(account) {
    this.socket?.disconnect();
    this.link = "connecting";
    this.refusal = null;
    this.reason = account.reason ?? undefined;
    const client = { app: "gemgem-console", version: "1", platform: "web" };
    const socket = io("/watch", {
      transports: ["websocket"],
      auth: (give) => account.token().then((token) => give({ token, client })),
      reconnectionDelay: 300,
      reconnectionDelayMax: 4000,
      forceNew: true,
    });
    this.socket = socket;
    socket.on("connect", () => this.connected());
    socket.on("disconnect", () => this.disconnected(socket));
    socket.on("connect_error", (error) => this.failed(socket, error));
    socket.on("welcome", (welcome) => {
      this.server = welcome;
    });
    socket.on("revoked", (why) => this.refuse(why));
    socket.on("live", (change) => this.live(change));
    socket.on("feed", (id, offset, bytes, info) => this.feed(id, offset, bytes, info ?? {}));
    socket.on("snapshot", ({ session_id, snapshot, epoch, offset }) => {
      if (session_id !== this.watched?.id) return;
      this.watched.snapshot(snapshot, epoch, offset);
      this.changed();
    });
    socket.on("ended", ({ session_id, result }) => this.ended(session_id, result));
    this.changed();
  }

  /** Keep the line past the end of its token. */
  async renew(token) {
    if (this.link !== "live") return; // the next connect takes the new one
    const answer = await this.call("token:renew", { token });
    if (REFUSED.has(answer.error?.code)) this.refuse(answer.error);
  }

  leave() {
    this.socket?.disconnect();
    this.link = "no_token";
    this.refusal = null;
    this.sessions = new Map();
    this.watched = null;
    this.changed();
  }

  /** The sessions to list, oldest first. */
  list() {
    return [...this.sessions.values()].sort(
      (a, b) => a.started_us - b.started_us || (a.session_id < b.session_id ? -1 : 1),
    );
  }

  /** Watch a session; the feed follows its snapshot. */
  async watch(sessionId) {
    const before = this.watched;
    if (before?.id === sessionId && before.joined) return;
    if (before && before.ended === null) this.socket?.emit("watch:leave", { session_id: before.id });
    const next = new Watched(sessionId, this.sessions.get(sessionId), this.meter);
    this.watched = next;
    this.changed();
    await this.join(next);
  }

  /** Move on from a session that ended, or begin with the first one. */
  settle() {
    const { watched } = this;
    if (this.link !== "live") return;
    if (watched && watched.ended === null) return;
    if (watched && performance.now() < watched.moveOnAt) return;
    const next = this.list().find((session) => session.session_id !== watched?.id);
    if (next) this.watch(next.session_id);
  }

  async join(watched) {
    const sent = localUs();
    watched.joined = false; // what comes before the answer waits for it
    const answer = await this.call("watch:join", { session_id: watched.id, max_fps: 60, reason: this.reason });
    if (this.watched !== watched) return;
    if (answer.ok) {
      const { snapshot, epoch, offset } = answer.ok;
      this.meter.sync(sent, localUs(), snapshot.time_us);
      watched.snapshot(snapshot, epoch, offset);
    } else if (answer.error.code === "not_found") {
      this.sessions.delete(watched.id);
      this.watched = null;
    } else if (REFUSED.has(answer.error.code)) {
      this.refuse(answer.error);
    }
    this.changed();
  }

  async connected() {
    this.meter.unsync();
    const answer = await this.call("live:list", {});
    if (answer.error) {
      if (REFUSED.has(answer.error.code)) this.refuse(answer.error);
      else setTimeout(() => this.socket.connected && this.connected(), 1000);
      return;
    }
    this.sessions = new Map(answer.ok.sessions.map((s) => [s.session_id, s]));
    this.link = "live";
    const { watched } = this;
    if (watched && watched.ended === null) {
      if (this.sessions.has(watched.id)) await this.join(watched);
      else watched.end(null);
    }
    this.settle();
    this.changed();
  }

  disconnected(socket) {
    if (socket !== this.socket || this.link === "refused" || this.link === "no_token") return;
    this.link = "lost";
    if (!socket.active) this.again(socket); // the server hung up
    this.changed();
  }

  failed(socket, error) {
    if (socket !== this.socket) return;
    const code = error.data?.code ?? "unauthenticated";
    if (!socket.active && REFUSED.has(code)) {
      this.refuse({ code, message: error.message });
      return;
    }
    this.link = this.sessions.size || this.watched ? "lost" : "connecting";
    if (!socket.active) this.again(socket, error.data?.retry_ms); // else the client tries by itself
    this.changed();
  }

  again(socket, ms = 1000) {
    setTimeout(() => {
      if (socket === this.socket && this.link !== "refused") socket.connect();
    }, ms);
  }

  refuse(why) {
    this.link = "refused";
    this.refusal = why ?? {};
    this.socket?.disconnect();
    this.changed();
  }

  live({ added = [], changed = [], removed = [] }) {
    for (const session of [...added, ...changed]) {
      this.sessions.set(session.session_id, { ...this.sessions.get(session.session_id), ...session });
    }
    for (const id of removed) this.sessions.delete(id);
    const seen = this.sessions.get(this.watched?.id);
    if (seen) this.watched.state = seen.state ?? this.watched.state;
    this.settle();
    this.changed();
  }

  feed(id, offset, bytes, info) {
    const { watched } = this;
    if (id !== watched?.id) return;
    const told = watched.feed(offset, bytes, info);
    if (watched.joined && watched.foreign(info) && performance.now() > this.rejoinAt) {
      this.rejoinAt = performance.now() + 1000;
      this.join(watched); // a set began that our snapshot does not know
    }
    if (told) this.changed();
  }

  ended(id, result) {
    this.sessions.delete(id);
    if (id === this.watched?.id && this.watched.ended === null) this.watched.end(result);
    this.changed();
  }

  /** Emit and wait: always {ok} or {error}, also when the line is down. */
  async call(event, args) {
    try {
      return await this.socket.timeout(CALL_MS).emitWithAck(event, args);
    } catch {
      return { error: { code: "busy", message: "no answer" } };
    }
  }
}
