// The JavaScript client plays a session by a plan. Reads the plan as JSON from standard input, prints
// what came of it as JSON. Run by tests/web/test_client.py.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { GamePlayer } from "../../web/client/gemgem.js";

const { io } = createRequire(new URL("../../web/package.json", import.meta.url))("socket.io-client");
const plan = JSON.parse(readFileSync(0, "utf8"));
const told = { up: 0, down: 0, over: null, reps: [], answers: {}, errors: {} };

let tokens = 0;
const token = plan.token ?? (() => plan.tokens[Math.min(tokens++, plan.tokens.length - 1)]);
const player = new GamePlayer({
  io,
  urls: plan.urls,
  token,
  client: { app: "test", version: "1", platform: "node" },
  patienceMs: "patienceMs" in plan ? plan.patienceMs : 20_000,
  on: {
    up: () => (told.up += 1),
    down: () => (told.down += 1),
    over: (error) => (told.over = error.message),
    rep: (rep) => told.reps.push(rep),
  },
});

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function tried(name, call) {
  try {
    told.answers[name] = await call();
  } catch (error) {
    told.errors[name] = error.message;
  }
}

function buffer(base64) {
  const bytes = Buffer.from(base64, "base64");
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
}

process.on("unhandledRejection", (error) => {
  throw error;
});

told.welcome = await player.connect();
await tried("open", () => player.openSession(plan.open));
await tried("start", () => player.startSet(plan.start));
for (const [n, frame] of plan.frames.entries()) {
  await pause(plan.everyMs);
  if (n === plan.pauseAt) await tried("pause", () => player.pause(true, "rest"));
  try {
    player.frames(buffer(frame));
  } catch (error) {
    told.errors.frames = error.message;
    break;
  }
}
if (plan.end) {
  await tried("end", () => player.endSet(plan.start.set_no));
  await tried("close", () => player.closeSession({ reason: "finished" }));
} else {
  await pause(plan.stayMs ?? 0);
}
told.ring = player.ring.messages.length;
player.disconnect();
console.log(JSON.stringify(told));
process.exit(0);
