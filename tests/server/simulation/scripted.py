"""A small server of `/game` and `/watch` that misbehaves on command, over real sockets.

It keeps to the contract's numbering rules, buffers at once and stores when told, so that a test
decides when a hole opens, when it is busy and when the line goes.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import socketio
from aiohttp import web

LIMITS = {"message_bytes": 262144, "messages_s": 400, "bytes_s": 1e6, "unacked": 8}


class ScriptedServer:
    """Takes messages in order; `lose`, `busy` and `refuse` name seqs to misbehave at, once each."""

    def __init__(self, ping_s: float) -> None:
        self.taken: list[tuple[int, str, Any]] = []
        self.tries: list[int] = []
        """Every seq that arrived, repetitions too."""
        self.lose: set[int] = set()
        self.busy: set[int] = set()
        self.refuse: dict[int, str] = {}
        self.retry_ms = 30
        self.outcome = "resumed"
        self.result: dict[str, Any] | None = None
        """What a sealed session's resume answers."""
        self.resumes: list[dict[str, Any]] = []
        self.opens: list[dict[str, Any]] = []
        self.renewed: list[str] = []
        self.cut_at: dict[int, bool] = {}
        """Seqs at which the line is cut, once: before (False) or after (True) it was taken."""
        self.cut_open = False
        """Cut the line instead of answering the next `session:open`."""
        self.refuse_open: list[dict[str, Any]] = []
        """Errors of the next `session:open`s."""
        self.refuse_resume: list[dict[str, Any]] = []
        """Errors of the next resumes."""
        self.absent = 0
        """Joins to refuse, as while a session moves."""
        self.holding = False
        """Acknowledge nothing for now."""
        self.storing = True
        self.limits = dict(LIMITS)
        """What it says that it allows."""
        self.url = ""
        self.auth: list[Any] = []
        self.sio = socketio.AsyncServer(
            async_mode="aiohttp",
            async_handlers=False,
            transports=["websocket"],
            ping_interval=ping_s,
            ping_timeout=ping_s,
        )
        self._sid = ""
        self._gap_told = -1
        game = self.sio.on
        game("connect", self._on_connect, namespace="/game")
        game("session:open", self._on_open, namespace="/game")
        game("session:resume", self._on_resume, namespace="/game")
        game("token:renew", self._on_renew, namespace="/game")
        game("frames", self._on_frames, namespace="/game")
        for event in ("set:start", "set:end", "session:pause", "session:close"):
            game(event, self._controller(event), namespace="/game")
        game("connect", self._on_connect, namespace="/watch")
        game("watch:join", self._on_join, namespace="/watch")

    @property
    def expected(self) -> int:
        """The seq that would be taken next."""
        return len(self.taken)

    async def tell(self, event: str, *content: Any, namespace: str = "/game") -> None:
        """Send an event to the one client."""
        await self.sio.emit(event, content, to=self._sid, namespace=namespace)

    async def acknowledge(self) -> None:
        """Send both marks as they are."""
        last = self.expected - 1
        await self.tell("ack", {"buffered": last, "stored": last if self.storing else -1})

    async def cut(self, namespace: str = "/game") -> None:
        """End the connection."""
        await self.sio.disconnect(self._sid, namespace=namespace)

    async def _on_connect(self, sid: str, _: Any, auth: Any) -> None:
        self.auth.append(auth)
        if auth["token"] == "stale":
            raise socketio.exceptions.ConnectionRefusedError(
                "Not signed in.", {"code": "unauthenticated"}
            )
        if auth["token"] == "mute":
            return
        self._sid = sid
        for namespace in ("/game", "/watch"):
            await self.sio.emit(
                "welcome", {"protocol": 1, "limits": self.limits}, to=sid, namespace=namespace
            )

    def forget(self, expected: int) -> None:
        """Lose what lies from `expected` on, as a store that lost its last second."""
        del self.taken[expected:]
        self._gap_told = -1

    async def _on_resume(self, _: str, request: Any) -> Any:
        self.resumes.append(request)
        if self.refuse_resume:
            return {"error": self.refuse_resume.pop(0)}
        self._gap_told = -1
        state = "idle" if self.outcome != "sealed" else "sealed"
        last = self.expected - 1
        return {
            "ok": {
                "outcome": self.outcome,
                "session_id": request["session_id"],
                "expected": self.expected,
                "stored": last if self.storing else -1,
                "limits": self.limits,
                "state": {
                    "state": state,
                    "paused": False,
                    "last_set_no": 0,
                    "set": None,
                    "result": self.result,
                },
            }
        }

    async def _on_renew(self, _: str, request: Any) -> Any:
        self.renewed.append(request["token"])
        return {"ok": {}}

    async def _on_open(self, _: str, request: Any) -> Any:
        self.opens.append(request)
        if self.refuse_open:
            return {"error": self.refuse_open.pop(0)}
        if self.cut_open:
            self.cut_open = False
            await self.cut()
            return None
        if request["child_id"] == "stranger":
            return {"error": {"code": "not_found", "message": "There is no such child."}}
        return {
            "ok": {"session_id": "s-1", "resume_token": "r", "expected": 0, "limits": self.limits}
        }

    async def _on_join(self, _: str, request: Any) -> Any:
        if self.absent:
            self.absent -= 1
            return {"error": {"code": "not_found", "message": "No such session."}}
        return {"ok": {"snapshot": {}, "epoch": 1, "offset": 10, "session": request}}

    def _verdict(self, seq: int) -> str | None:
        self.tries.append(seq)
        if seq == self.expected and seq in self.cut_at:
            return "cut after" if self.cut_at.pop(seq) else "cut before"
        if seq in self.busy and seq == self.expected:
            self.busy.discard(seq)
            return "busy"
        if seq in self.lose:
            self.lose.discard(seq)
            return "lost"
        if seq < self.expected:
            return "done"
        return "gap" if seq > self.expected else None

    async def _on_frames(self, _: str, seq: int, payload: bytes) -> None:
        match self._verdict(seq):
            case None:
                self.taken.append((seq, "frames", payload))
                code = self.refuse.pop(seq, None)
                if code is not None:
                    await self.tell("refused", {"seq": seq, "code": code, "message": "No."})
            case "cut before" | "cut after" as cut:
                if cut == "cut after":
                    self.taken.append((seq, "frames", payload))
                await self.cut()
                return
            case "busy":
                refusal = {
                    "seq": seq,
                    "code": "busy",
                    "message": "Later.",
                    "retry_ms": self.retry_ms,
                }
                await self.tell("refused", refusal)
            case "gap" if self._gap_told != self.expected:
                self._gap_told = self.expected
                await self.tell("gap", {"expected": self.expected})
        if not self.holding:
            await self.acknowledge()

    def _controller(self, event: str) -> Any:
        async def control(_: str, seq: int, body: Any) -> Any:
            match self._verdict(seq):
                case "busy":
                    return {
                        "error": {"code": "busy", "message": "Later.", "retry_ms": self.retry_ms}
                    }
                case "gap":
                    details = {"expected": self.expected}
                    return {"error": {"code": "gap", "message": "A hole.", "details": details}}
                case "cut before" | "cut after" as cut:
                    if cut == "cut after":
                        self.taken.append((seq, event, body))
                    await self.cut()
                    return None
                case None:
                    self.taken.append((seq, event, body))
            if seq in self.refuse:
                return {"error": {"code": self.refuse.pop(seq), "message": "No."}}
            if not self.holding:
                await self.acknowledge()
            return {"ok": {"record": {"set_no": body["set_no"]}} if event == "set:end" else body}

        return control


@asynccontextmanager
async def scripted(ping_s: float = 25.0) -> AsyncIterator[ScriptedServer]:
    """Run a scripted server on a free loopback port; it pings every `ping_s`."""
    server = ScriptedServer(ping_s)
    app = web.Application()
    server.sio.attach(app)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        await server.sio.shutdown()
        await runner.cleanup()
        # The library's ping of a closed connection sleeps on until its next turn.
        pings = [t for t in asyncio.all_tasks() if "_send_ping" in repr(t.get_coro())]
        for ping in pings:
            ping.cancel()
        await asyncio.gather(*pings, return_exceptions=True)
