"""What every outside service shares: retries that help, none that harm, and leaving it alone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from clients.base import BODY_BYTES, Upstream, UpstreamError
from clients.breaker import OPEN_SECONDS, STREAK, WINDOW, Breaker, BreakerState
from config.clock import SystemClock
from config.metrics import REGISTRY
from tests.factories import ManualClock


class Service:
    """Answers as it is told."""

    def __init__(self) -> None:
        self.url = ""
        self.asked = 0
        self.answers: list[Callable[[], web.Response]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        await request.read()
        return self.answers.pop(0)() if self.answers else web.json_response({"ok": True})

    def say(self, *statuses: int, **headers: str) -> None:
        """Answer so next."""
        for status in statuses:
            self.answers.append(
                lambda status=status: web.Response(status=status, headers=headers)  # type: ignore[misc]
            )


@asynccontextmanager
async def running() -> AsyncIterator[Service]:
    service = Service()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    service.url = f"http://{host}:{port}"
    yield service
    await runner.cleanup()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running() as one:
        yield one


@pytest.fixture
async def upstream_of(service: Service) -> AsyncIterator[Callable[..., Upstream]]:
    made: list[Upstream] = []

    def make(**more: Any) -> Upstream:
        made.append(Upstream("it", service.url, **{"base_s": 0.001, **more}))
        return made[-1]

    yield make
    for upstream in made:
        await upstream.close()


Make = Callable[..., Upstream]


async def test_what_may_have_been_done_is_not_sent_again(
    service: Service, upstream_of: Make
) -> None:
    upstream = upstream_of()
    service.say(503)
    with pytest.raises(UpstreamError) as failed:
        await upstream.call("POST", "/x", repeatable=False, json={})
    assert failed.value.maybe_done
    assert service.asked == 1
    service.say(429, **{"Retry-After": "0"})
    await upstream.call("POST", "/x", repeatable=False, json={})  # a 429 did nothing
    assert service.asked == 3


async def test_a_connection_that_is_refused_is_tried_again_whatever_it_was() -> None:
    upstream = Upstream("it", "http://127.0.0.1:9", base_s=0.001, attempts=3)
    with pytest.raises(UpstreamError) as failed:
        await upstream.call("POST", "/x", repeatable=False)
    assert not failed.value.maybe_done
    assert failed.value.retryable
    await upstream.close()


async def test_retry_after_is_a_number_or_a_date(service: Service, upstream_of: Make) -> None:
    date = format_datetime(SystemClock().now(), usegmt=True)
    for value in ("0", "0.01", date, "soon", "Wed, 21 Oct 2015 07:28:00"):
        service.say(503, **{"Retry-After": value})
        assert (await upstream_of().get("/x")).status == 200


async def test_patience_ends_a_call_that_would_wait_for_long(
    service: Service, upstream_of: Make
) -> None:
    service.say(*[503] * 5, **{"Retry-After": "30"})
    async with asyncio.timeout(2):
        with pytest.raises(UpstreamError):
            await upstream_of(patience_s=0.5).get("/x")
    assert service.asked == 1


async def test_a_service_that_stalls_is_given_up(service: Service) -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(stall, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    upstream = Upstream("it", f"http://{host}:{port}", patience_s=0.2)
    async with asyncio.timeout(2):
        with pytest.raises(UpstreamError) as failed:
            await upstream.get("/x")
    assert failed.value.retryable
    await upstream.close()
    server.close()
    await server.wait_closed()


async def test_too_long_an_answer_is_not_read(service: Service, upstream_of: Make) -> None:
    service.answers.append(lambda: web.Response(body=b"x" * (BODY_BYTES + 1)))
    with pytest.raises(UpstreamError, match="too long"):
        await upstream_of().get("/x")


async def test_redirects_are_not_followed(service: Service, upstream_of: Make) -> None:
    service.say(302, Location="http://127.0.0.1:9/steal")
    with pytest.raises(UpstreamError, match="status 302"):
        await upstream_of().get("/x")
    assert service.asked == 1


async def test_what_is_no_object_is_an_error(service: Service, upstream_of: Make) -> None:
    for text in ('{"a": 1', "[1]", "", "\xff"):
        service.answers.append(lambda text=text: web.Response(text=text))  # type: ignore[misc]
        reply = await upstream_of().get("/x")
        with pytest.raises(UpstreamError, match="no JSON object"):
            reply.json()


async def test_a_service_that_keeps_failing_is_left_alone_and_tried_by_one(
    service: Service, upstream_of: Make
) -> None:
    clock = ManualClock()
    upstream = upstream_of(clock=clock, attempts=1)
    service.say(*[500] * STREAK)
    for _ in range(STREAK):
        with pytest.raises(UpstreamError):
            await upstream.get("/x")
    with pytest.raises(UpstreamError, match="left alone"):
        await upstream.get("/x")
    assert service.asked == STREAK
    assert REGISTRY.get_sample_value("gemgem_upstream_open", {"provider": "it"}) == 1
    clock.move(OPEN_SECONDS)
    answers = await asyncio.gather(*(upstream.get("/x") for _ in range(5)), return_exceptions=True)
    assert sum(not isinstance(answer, UpstreamError) for answer in answers) == 1
    assert upstream.state is BreakerState.CLOSED
    assert (await upstream.get("/x")).status == 200
    assert REGISTRY.get_sample_value("gemgem_upstream_open", {"provider": "it"}) == 0


async def test_refusals_do_not_open_the_circuit(service: Service, upstream_of: Make) -> None:
    upstream = upstream_of()
    service.say(*[400] * (WINDOW + 1))
    for _ in range(WINDOW + 1):
        with pytest.raises(UpstreamError):
            await upstream.get("/x")
    assert upstream.state is BreakerState.CLOSED


@given(st.lists(st.sampled_from(["ask", "fail", "work", "wait"]), max_size=120))
def test_the_breaker_opens_by_its_rules_alone(steps: list[str]) -> None:
    clock = ManualClock()
    breaker = Breaker(clock)
    recent: list[bool] = []
    streak = 0
    opened: float | None = None
    for step in steps:
        if step == "wait":
            clock.move(OPEN_SECONDS / 2)
        elif step == "ask":
            wanted = opened is None or clock.monotonic() - opened >= OPEN_SECONDS
            if opened is None or not wanted:
                assert breaker.admits() is wanted
        elif step == "fail":
            breaker.failed()
            streak += 1
            recent = [*recent, True][-WINDOW:]
            half = len(recent) == WINDOW and sum(recent) > WINDOW / 2
            if opened is not None or streak >= STREAK or half:
                opened = clock.monotonic()
        else:
            breaker.worked()
            streak = 0
            recent = [*([] if opened is not None else recent), False][-WINDOW:]
            opened = None
        assert (breaker.state is BreakerState.CLOSED) is (opened is None)


def test_a_probe_that_was_cancelled_holds_the_place_for_a_rest_only() -> None:
    clock = ManualClock()
    breaker = Breaker(clock)
    for _ in range(STREAK):
        breaker.failed()
    assert not breaker.admits()
    clock.move(OPEN_SECONDS)
    assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.admits()
    assert not breaker.admits()
    clock.move(OPEN_SECONDS)
    assert breaker.admits()
    breaker.failed()
    assert breaker.state is BreakerState.OPEN
