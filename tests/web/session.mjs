// One session played and watched through the official client. Reads the plan as JSON from standard
// input, prints what it saw as JSON. Run by tests/flows/test_js_client.py.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const need = createRequire(new URL("../../web/package.json", import.meta.url));
const { io } = need("socket.io-client");
const plan = JSON.parse(readFileSync(0, "utf8"));
const parser = plan.parser === "msgpack" ? need("socket.io-msgpack-parser") : undefined;
const seen = {
  acks: [], scores: [], peaks: [], reps: [], gaps: [], refused: [],
  feeds: 0, feedBytes: 0, feedReps: [], offsets: [],
};

const connect = (namespace, token) =>
  io(plan.url + namespace, {
    transports: ["websocket"],
    forceNew: true,
    reconnection: false,
    ...(parser ? { parser } : {}),
    auth: { token, client: { app: "test", version: "1", platform: "node" } },
  });

const once = (socket, event) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${event} within 10 s`)), 10_000);
    socket.once(event, (...args) => {
      clearTimeout(timer);
      resolve(args.length > 1 ? args : args[0]);
    });
  });

async function call(socket, event, ...args) {
  const answer = await socket.timeout(20_000).emitWithAck(event, ...args);
  if (answer.error) throw new Error(`${event}: ${JSON.stringify(answer.error)}`);
  return answer.ok;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function buffer(base64) {
  const bytes = Buffer.from(base64, "base64");
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
}

async function refusal() {
  const socket = connect("/watch", "no token at all");
  const error = await once(socket, "connect_error");
  socket.disconnect();
  return { message: error.message, data: error.data };
}

function listen(game, watch, sessionId) {
  game.on("ack", (mark) => seen.acks.push(mark));
  game.on("score", (score) => seen.scores.push(score));
  game.on("peak", (peak) => seen.peaks.push(peak));
  game.on("rep", (rep) => seen.reps.push(rep));
  game.on("gap", (gap) => seen.gaps.push(gap));
  game.on("refused", (refused) => seen.refused.push(refused));
  watch.on("feed", (id, offset, bytes, info) => {
    if (id !== sessionId) throw new Error("a feed of another session");
    seen.feeds += 1;
    seen.offsets.push(offset);
    seen.feedBytes += bytes.byteLength ?? bytes.length;
    if (info.rep) seen.feedReps.push(info.rep);
  });
}

async function play(game, seq) {
  const begun = performance.now();
  for (const { ms, bytes } of plan.frames) {
    await pause(begun + ms - performance.now());
    game.emit("frames", seq, buffer(bytes));
    seq += 1;
  }
  return seq;
}

async function main() {
  const refused = await refusal();
  const game = connect("/game", plan.gameToken);
  const welcome = await once(game, "welcome");
  const opened = await call(game, "session:open", plan.open);
  const watch = connect("/watch", plan.watchToken);
  await once(watch, "welcome");
  listen(game, watch, opened.session_id);
  let list = { sessions: [] };
  for (let tries = 0; tries < 50 && list.sessions.length === 0; tries += 1) {
    list = await call(watch, "live:list", {});
    if (list.sessions.length === 0) await pause(100);
  }
  const joined = await call(watch, "watch:join", { session_id: opened.session_id });
  const refreshed = once(watch, "snapshot");
  const ended = once(watch, "ended").catch((error) => ({ error: error.message }));
  const started = await call(game, "set:start", 0, plan.start);
  const snapshot = await refreshed;
  const last = await play(game, 1);
  const { record } = await call(game, "set:end", last, { set_no: plan.start.set_no });
  const unknown = await game.timeout(5000).emitWithAck("no:such", {});
  const result = await call(game, "session:close", last + 1, { reason: "finished" });
  const end = await ended;
  await pause(200); // the last ack may follow the answer
  game.disconnect();
  watch.disconnect();
  return { refused, welcome, opened, list, joined, started, snapshot, record, unknown, result, end, last, seen };
}

process.on("unhandledRejection", (error) => {
  throw error;
});
console.log(JSON.stringify(await main()));
process.exit(0);
