// The relay on Socket.IO for Node.js: frames go to the session's watcher, every tenth is answered.
// PARSER=msgpack uses socket.io-msgpack-parser.
import { createServer } from "node:http";
import { Server } from "socket.io";
import * as msgpack from "socket.io-msgpack-parser";

const http = createServer();
const parser = process.env.PARSER === "msgpack" ? { parser: msgpack.default ?? msgpack } : {};
const io = new Server(http, { transports: ["websocket"], ...parser });

/** The watcher of each watched session: an emit to it costs less than one to a room of its own. */
const watchers = new Map();

io.of("/game").on("connection", (socket) => {
  let session = null;
  let frames = 0;
  socket.on("session:open", (asked, answer) => {
    session = asked.client_key;
    answer({ ok: { session_id: session } });
  });
  socket.on("frames", (seq, payload) => {
    watchers.get(session)?.emit("feed", session, seq, payload, {});
    frames += 1;
    if (frames % 10 === 0) {
      const t_us = Number(payload.readBigUInt64LE(8));
      socket.emit("score", { set_no: 1, t_us, z: 0.5, sim: 80.5, quality: 0.9, full: 3, partial: 1 });
    }
  });
});

io.of("/watch").on("connection", (socket) => {
  socket.on("watch:join", (asked, answer) => {
    watchers.set(asked.session_id, socket);
    socket.on("disconnect", () => watchers.delete(asked.session_id));
    answer({ ok: {} });
  });
});

http.listen(Number(process.env.PORT), "127.0.0.1");
