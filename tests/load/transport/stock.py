"""The relay on python-socketio as its documentation shows it, on aiohttp and uvloop."""

import argparse
from typing import Any

import socketio
from aiohttp import web

from server.loop import run_loop
from tests.load.transport.serve import SCORE_EVERY, score, until_told


def build(parser: str) -> web.Application:
    """Return the application."""
    sio = socketio.AsyncServer(
        async_mode="aiohttp",
        transports=["websocket"],
        serializer="msgpack" if parser == "msgpack" else "default",
    )
    app = web.Application()
    sio.attach(app)
    sessions: dict[str, str] = {}
    frames: dict[str, int] = {}
    watchers: dict[str, str] = {}

    async def open_session(sid: str, asked: dict[str, Any]) -> dict[str, Any]:
        sessions[sid] = asked["client_key"]
        frames[sid] = 0
        return {"ok": {"session_id": asked["client_key"]}}

    async def take_frames(sid: str, seq: int, payload: bytes) -> None:
        session = sessions[sid]
        watcher = watchers.get(session)
        if watcher is not None:
            feed: tuple[object, ...] = (session, seq, payload, {})
            await sio.emit("feed", feed, to=watcher, namespace="/watch")
        frames[sid] += 1
        if frames[sid] % SCORE_EVERY == 0:
            await sio.emit("score", score(payload), to=sid, namespace="/game")

    async def join(sid: str, asked: dict[str, Any]) -> dict[str, Any]:
        watchers[asked["session_id"]] = sid
        return {"ok": {}}

    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
        """Let everybody in."""

    sio.on("connect", connect, namespace="/game")
    sio.on("connect", connect, namespace="/watch")
    sio.on("session:open", open_session, namespace="/game")
    sio.on("frames", take_frames, namespace="/game")
    sio.on("watch:join", join, namespace="/watch")
    return app


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--parser", choices=("default", "msgpack"), default="default")
    args = parser.parse_args()
    run_loop(until_told(web.AppRunner(build(args.parser), access_log=None), args.port))


if __name__ == "__main__":
    main()
