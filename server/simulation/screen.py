"""What somebody at the terminal sees of a crowd, and how Ctrl-C reaches it."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live

from config.clock import Clock
from server.simulation.board import Rates, Totals, draw, plain_line
from server.simulation.crowd import Crowd

TABLE_S = 0.5
"""Between two drawings of the live table, seconds."""
LINE_S = 5.0
"""Between two lines where there is no terminal, seconds."""


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands above the live table."""

    title: str
    address: str | None = None
    """Where the page is, as shown."""
    link: str | None = None
    """Where a click on the address leads."""


async def play(crowd: Crowd, console: Console, clock: Clock, heading: Heading) -> None:
    """Run a crowd with its live table (or a line now and then) on `console`."""
    await alongside(_show(crowd, console, clock, heading), crowd.run())


class Interrupts:
    """What Ctrl-C and SIGTERM do to a command, from its first line to its last.

    While `calm` is set the first one calls it; any other cancels the command, which then puts
    away what it has opened.
    """

    def __init__(self) -> None:
        self.calm: Callable[[], None] | None = None
        self._task = asyncio.current_task()

    def interrupted(self) -> None:
        """Handle one."""
        calm, self.calm = self.calm, None
        if calm is not None:
            calm()
        elif self._task is not None:
            self._task.cancel()


@contextlib.contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Handle Ctrl-C and SIGTERM within the block."""
    loop = asyncio.get_running_loop()
    ours = Interrupts()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ours.interrupted)
    try:
        yield ours
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _show(crowd: Crowd, console: Console, clock: Clock, heading: Heading) -> None:
    rates = Rates()

    def frames_s() -> list[float]:
        return rates.update([row.frames for row in crowd.rows], clock.monotonic())

    def totals() -> Totals:
        return replace(
            crowd.totals(), title=heading.title, address=heading.address, link=heading.link
        )

    def drawing() -> RenderableType:
        return draw(totals(), crowd.rows, frames_s(), console.width)

    frames_s()
    if not console.is_terminal:
        while True:
            await asyncio.sleep(LINE_S)
            line = plain_line(totals(), sum(frames_s()))
            console.print(line, highlight=False, soft_wrap=True)
    # Drawn from this loop, not from rich's own thread: the rows are read between two awaits.
    with Live(console=console, auto_refresh=False, redirect_stdout=False) as live:
        try:
            while True:
                live.update(drawing(), refresh=True)
                await asyncio.sleep(TABLE_S)
        finally:
            live.update(drawing(), refresh=True)


async def alongside(guard: Coroutine[Any, Any, None], work: Coroutine[Any, Any, None]) -> None:
    """Do `work`, but only for as long as `guard` does not raise."""
    tasks = [asyncio.create_task(guard), asyncio.create_task(work)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
