"""A token renewed on an open connection: who may, and that the connection then outlives the old."""

import asyncio
import base64
import json
import time

import pytest

from config.clock import SystemClock
from handlers.live import base
from server.simulation.player import Player
from tests.flows.client import OPEN, START, connected
from tests.serving import Served
from tests.web.runtime import packages, play_told

KEY = "0d1f9d7a-6a5e-4f43-9a80-5a0cf2b7a001"


@pytest.fixture(autouse=True)
def looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens that have ended are found at once."""
    monkeypatch.setattr(base, "EXPIRY_SECONDS", 0.1)


def ends_at(token: str) -> float:
    """Return the Unix time at which a token ends."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return float(claims["exp"])


async def until_over(*tokens: str) -> None:
    """Wait until tokens have ended and the server has had time to look."""
    # A token holds to the end of its last second.
    await asyncio.sleep(max(map(ends_at, tokens)) + 1.5 - time.time())


@pytest.mark.parametrize("namespace", ["/game", "/watch"])
async def test_who_renews_stays_and_who_does_not_is_closed(served: Served, namespace: str) -> None:
    first, second = (served.token("guardian", "child-1", sid="s-1", ttl_s=2) for _ in range(2))
    fresh = served.token("guardian", "child-1", sid="s-1")
    async with (
        connected(served.url, namespace, first) as stays,
        connected(served.url, namespace, second) as goes,
    ):
        assert await stays.ok("token:renew", {"token": fresh}) == {}
        closed = await goes.until("closed")
        assert closed["code"] == "unauthenticated"
        await until_over(first, second)
        assert stays.all("closed") == []
        assert await stays.ok("token:renew", {"token": fresh}) == {}


async def test_another_sign_in_does_not_renew_it(served: Served) -> None:
    token = served.token("guardian", "child-1", sid="s-1", ttl_s=2)
    refused: dict[str, dict[str, object]] = {
        "another sign-in": {"sid": "s-2"},
        "one of its own": {},
        "another user": {"sid": "s-1", "sub": "guardian-2"},
        "one that has ended": {"sid": "s-1", "ttl_s": -60},
    }
    async with connected(served.url, "/game", token) as client:
        for kind, other in refused.items():
            fresh = served.token("guardian", "child-1", **other)
            code = "unauthenticated" if kind == "one that has ended" else "forbidden"
            assert await client.code("token:renew", {"token": fresh}) == code, kind
        assert client.all("closed") == []
        assert (await client.until("closed"))["code"] == "unauthenticated"


async def test_the_python_client_renews_its_token(served: Served) -> None:
    made: list[str] = []

    def token() -> str:
        ttl_s = 2 if not made else 3600
        made.append(served.token("guardian", "child-1", sid="s-1", ttl_s=ttl_s))
        return made[-1]

    player = Player(served.url, token, clock=SystemClock())
    try:
        await player.connect()
        await player.open_session(child_id="child-1", client_key=KEY, **OPEN)
        await until_over(made[0])
        assert len(made) == 2
        assert (player.link.lines, player.link.losses, player.link.over) == (1, 0, None)
        await player.start_set(set_no=1, **START)
    finally:
        await player.disconnect()


async def test_the_javascript_client_renews_its_token(served: Served) -> None:
    packages()
    tokens = [served.token("guardian", "child-1", sid="s-1", ttl_s=ttl) for ttl in (4, 3600)]
    plan = {
        "urls": [served.url],
        "tokens": tokens,
        "open": {**OPEN, "child_id": "child-1", "client_key": KEY},
        "start": {"set_no": 1, **START},
        "frames": [],
        "end": False,
        "stayMs": 5500,
    }
    told = await play_told(plan)
    assert (told["up"], told["down"], told["over"], told["errors"]) == (1, 0, None, {})
