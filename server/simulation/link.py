"""A connection that comes back: several servers in turn, back-off with jitter, tokens renewed.

What a client has to do about its connection, in the order of the code below:

1. After a loss wait a random time between 0 and a bound that doubles from 0.2 s to 5 s, so that a
   thousand clients of a dead server do not come back in one moment.
2. Connect to the next server of the list and resume the session there.
3. `draining {retry_after_ms}` announces a loss: play on, and move after that time, with jitter.
4. `superseded` and `revoked` end it for good, and so do errors that waiting does not cure.
5. Ask for a new token before the one in use ends, and renew it on the open connection.
"""

import asyncio
import base64
import contextlib
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp

from config.clock import Clock
from server.simulation.line import Line, LineLostError, RefusedError

BASE_S = 0.2
CAP_S = 5.0
STEADY_S = 5.0
"""A connection that held this long makes the next back-off begin anew."""
PATIENCE_S = 300.0
"""How long another line is sought before a server has told how long it keeps a session."""
RENEW_SHARE = 0.8
"""A token is renewed when this share of its life is over."""
LOOK_S = 3600.0
"""A token that lasts longer is looked at this often: clocks may be set."""
_PASSING = frozenset({"busy", "rate_limited", "internal", "provider_unavailable"})
"""Errors of a connect or a resume that waiting may cure, whether or not they name a time."""
_FOR_GOOD = frozenset({"forbidden", "not_found", "session_sealed", "too_large", "invalid"})
"""Codes of `closed` after which the same client would only be closed again."""

Token = str | Callable[[], str]
"""A token, or what returns one that is fresh whenever it is called."""


class Backoff:
    """Full jitter: each wait lies evenly between 0 and a bound that doubles up to a cap."""

    def __init__(self, rng: random.Random, base_s: float = BASE_S, cap_s: float = CAP_S) -> None:
        self._rng = rng
        self._base_s = base_s
        self._cap_s = cap_s
        self._tries = 0

    def next_s(self) -> float:
        """Return the next wait, seconds."""
        bound = min(self._cap_s, self._base_s * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return self._rng.uniform(0.0, bound)

    def reset(self) -> None:
        """Begin anew."""
        self._tries = 0


class Link:
    """The current `Line` of a client, and what brings the next one."""

    def __init__(
        self,
        urls: Sequence[str],
        token: Token,
        namespace: str,
        *,
        clock: Clock,
        rng: random.Random,
        http: aiohttp.ClientSession | None,
        wire: Callable[[Line], None],
        resume: Callable[[Line], Awaitable[None]],
        up: Callable[[], None],
        down: Callable[[], None],
        given_up: Callable[[Exception], None],
        patience_s: float = PATIENCE_S,
        parser: str = "default",
    ) -> None:
        """Prepare; nothing is sent before `connect`.

        Args:
            wire: gives each new line its handlers, before it connects.
            resume: takes up the session on a line that has just connected; errors as `Line.call`.
            up: told when there is a line on which the session goes on.
            down: told when the line is gone and before another one is sought.
            given_up: told, once, that there will be no other line, and why.
            patience_s: how long after a loss another line is sought; 0 ends with the first loss.
        """
        self._parser = parser
        self.line = Line(urls[0], "", namespace, http, parser)
        self.over: Exception | None = None
        """Why there will be no other line."""
        self.losses = 0
        """Lines that ended without our doing."""
        self.lines = 0
        """Lines there have been, the one in use included."""
        self._urls = urls
        self._place = 0
        self._token = token
        self._namespace = namespace
        self._clock = clock
        self._rng = rng
        self._http = http
        self._wire = wire
        self._resume = resume
        self._tell_up = up
        self._down = down
        self._given_up = given_up
        self.patience_s = patience_s
        """How long after a loss another line is sought; may be set at any time."""
        self._backoff = Backoff(rng)
        self._up = asyncio.Event()
        self._connected_at = 0.0
        self._returning: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether there is a line on which the session goes on."""
        return self._up.is_set()

    async def until_up(self) -> None:
        """Wait for a line.

        Raises:
            LineLostError, RefusedError: there will be none.
        """
        while not self.up:
            if self.over is not None:
                raise self.over
            await self._up.wait()

    async def connect(self, patience_s: float = 0.0) -> dict[str, Any]:
        """Connect and return the content of `welcome`; tries again for `patience_s`.

        Raises:
            RefusedError: the server said no; the code is in it.
            LineLostError: nobody answered.
        """
        deadline = self._clock.monotonic() + patience_s
        for n in range(1_000_000):
            try:
                await self._connect_once()
            except (RefusedError, LineLostError) as failure:
                wait = self.wait_after(failure)
                if wait is None:
                    raise
                everywhere = (n + 1) % len(self._urls) == 0
                if everywhere and self._clock.monotonic() + wait > deadline:
                    raise
                if patience_s:
                    await asyncio.sleep(wait)
            else:
                return self.line.welcome
        raise LineLostError("never connected")

    async def disconnect(self) -> None:
        """Leave; safe at any time and twice."""
        if self.over is None:
            self.over = LineLostError("we left")
        for task in (self._returning, self._renewing):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._up.set()
        await self.line.disconnect()
        self._up.clear()

    async def _connect_once(self) -> None:
        """Make a line to the next server of the list and take up the session on it."""
        url = self._urls[self._place % len(self._urls)]
        self._place += 1
        token = self._token if isinstance(self._token, str) else self._token()
        await self.line.disconnect()
        line = self.line = Line(url, token, self._namespace, self._http, self._parser)
        line.on("draining", self._on_draining)
        self._wire(line)
        try:
            await line.connect()
            await self._resume(line)
        except BaseException:
            await line.disconnect()
            raise
        if line.ended is not None:
            raise LineLostError(line.ended)
        line.when_ended(lambda: self._on_ended(line))
        self._connected_at = self._clock.monotonic()
        self.lines += 1
        self._up.set()
        self._tell_up()
        self._keep_token(token)

    # -- a loss --------------------------------------------------------------------------------

    def _on_ended(self, line: Line) -> None:
        if line is not self.line or self.over is not None:
            return
        self.losses += 1
        self._up.clear()
        self._down()
        reason = line.ended or "disconnected"
        wait = 0.0
        for event, content in line.notices:
            code = content.get("code", event)
            final = event in ("superseded", "revoked") or code in _FOR_GOOD
            if event == "closed" and code == "unauthenticated":
                final = isinstance(self._token, str)
            if final:
                self._give_up(LineLostError(reason))
                return
            wait = max(wait, content.get("retry_ms") or 0)
        if not self.patience_s:
            self._give_up(LineLostError(reason))
        else:
            self._return_after(wait / 1000)

    def _on_draining(self, content: dict[str, Any]) -> None:
        # The others are told the same: spread, so that they do not all move in one moment.
        delay = content.get("retry_after_ms", 0) / 1000 * self._rng.uniform(1.0, 1.5)
        if self.patience_s:
            self._return_after(delay)

    def _return_after(self, delay_s: float) -> None:
        if self._returning is None:
            self._returning = asyncio.create_task(self._return(delay_s))

    async def _return(self, delay_s: float) -> None:
        """Look for another line until there is one, or patience is over."""
        if self._clock.monotonic() - self._connected_at > STEADY_S:
            self._backoff.reset()
        deadline = self._clock.monotonic() + delay_s + self.patience_s
        try:
            await asyncio.sleep(delay_s)
            if self.up:  # a server that drains: we leave it
                self._up.clear()
                self._down()
                await self.line.disconnect()
            delay_s = self._backoff.next_s()
            while True:
                await asyncio.sleep(delay_s)
                try:
                    await self._connect_once()
                except (RefusedError, LineLostError) as failure:
                    wait = self.wait_after(failure)
                    if wait is None or self._clock.monotonic() + wait > deadline:
                        self._give_up(failure)
                        return
                    delay_s = wait
                else:
                    return
        finally:
            self._returning = None

    def wait_after(self, failure: RefusedError | LineLostError) -> float | None:
        """Return how long to wait before trying again, seconds; None if that is of no use."""
        if isinstance(failure, RefusedError):
            fresh = failure.code == "unauthenticated" and not isinstance(self._token, str)
            if failure.code not in _PASSING and failure.retry_ms is None and not fresh:
                return None
            return (failure.retry_ms or 0) / 1000 + self._backoff.next_s()
        return self._backoff.next_s()

    def _give_up(self, why: Exception) -> None:
        self.over = why
        self._given_up(why)
        self._up.set()  # let those who wait see it
        self._up.clear()

    def give_up(self, why: Exception) -> None:
        """End it from above: the session is over, or cannot go on."""
        if self.over is None:
            self._up.clear()
            self._give_up(why)

    # -- the token -----------------------------------------------------------------------------

    def _keep_token(self, token: str) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            self._renewing = None
        if not isinstance(self._token, str):
            self._renewing = asyncio.create_task(self._renew(self.line, token, self._token))

    async def _renew(self, line: Line, token: str, fresh: Callable[[], str]) -> None:
        """Renew the token of a line before each one's end, for as long as the line lasts."""
        while line.ended is None:
            left_s = expires_at(token) - self._clock.time_us() / 1e6
            await asyncio.sleep(min(max(1.0, left_s * RENEW_SHARE), LOOK_S))
            if left_s * RENEW_SHARE > LOOK_S:
                continue
            token = fresh()
            with contextlib.suppress(RefusedError, LineLostError):
                # A refusal ends with `closed` at the old token's end, and then we come back.
                await line.call("token:renew", {"token": token})


def expires_at(token: str) -> float:
    """Return the Unix time at which a JWT ends, unverified; for ever if it does not say."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (IndexError, ValueError, KeyError, TypeError):
        return float("inf")
