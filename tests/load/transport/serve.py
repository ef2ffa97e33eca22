"""What the relays in Python share: the score they send, and being served until told to stop."""

import asyncio
import signal
import struct
from typing import Any

from aiohttp import web

SCORE_EVERY = 10
_T0 = struct.Struct("<Q")
_T0_AT = 8


def score(payload: bytes) -> dict[str, Any]:
    """Return a score as the real one looks, of the frame at hand."""
    t_us = _T0.unpack_from(payload, _T0_AT)[0]
    return {
        "set_no": 1,
        "t_us": t_us,
        "z": 0.5,
        "sim": 80.5,
        "quality": 0.9,
        "full": 3,
        "partial": 1,
    }


async def until_told(runner: web.AppRunner, port: int) -> None:
    """Serve on loopback until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
        await stop.wait()
    finally:
        await runner.cleanup()
