"""What somebody at the terminal sees of a crowd, and how Ctrl-C reaches it."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

from rich.console import Console
from rich.live import Live

from config.clock import Clock
from server.simulation.board import Rates, draw, plain_line
from server.simulation.crowd import Crowd

TABLE_S = 0.5
"""Between two drawings of the live table, seconds."""
LINE_S = 5.0
"""Between two lines where there is no terminal, seconds."""


async def play(
    crowd: Crowd, console: Console, clock: Clock, title: str, address: str | None = None
) -> None:
    """Run a crowd with its live table (or a line now and then) on `console`."""
    async with _task(_show(crowd, console, clock, title, address)):
        await crowd.run()


@contextlib.contextmanager
def interrupts(calm: Callable[[], None]) -> Iterator[None]:
    """Call `calm` at the first Ctrl-C or SIGTERM; cancel the current task at the second."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    asked = False

    def interrupted() -> None:
        nonlocal asked
        if asked and task is not None:
            task.cancel()
        asked = True
        calm()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _show(
    crowd: Crowd, console: Console, clock: Clock, title: str, address: str | None
) -> None:
    rates = Rates()

    def frames_s() -> list[float]:
        return rates.update([row.frames for row in crowd.rows], clock.monotonic())

    frames_s()
    if not console.is_terminal:
        while True:
            await asyncio.sleep(LINE_S)
            line = plain_line(crowd.totals(title), sum(frames_s()))
            console.print(line, highlight=False, soft_wrap=True)
    # Drawn from this loop, not from rich's own thread: the rows are read between two awaits.
    with Live(console=console, auto_refresh=False, redirect_stdout=False) as live:
        while True:
            live.update(draw(crowd.totals(title, address), crowd.rows, frames_s()), refresh=True)
            await asyncio.sleep(TABLE_S)


@contextlib.asynccontextmanager
async def _task(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` beside the block and end it with the block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
