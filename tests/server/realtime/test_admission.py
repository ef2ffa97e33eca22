"""Clients that go while Redis is still asked whether there is room for them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aiohttp import web

from config.clock import SystemClock
from config.settings import load_settings
from handlers.deps import Deps
from handlers.live.base import Connection, Event, LiveNamespace
from models.accounts.records import Principal, Role
from server.listener import site_runner
from server.realtime.server import Realtime
from tests.flows.raw import raw
from tests.handlers.test_places import Store, places_of, running, until

WHO = Principal("somebody", "sign-in", frozenset({Role.ADMIN}), 2**40)


class Room(LiveNamespace[Connection]):
    """A namespace that takes whoever finds a place."""

    name = "/p"
    roles = frozenset({Role.ADMIN})

    def __init__(self, wire: Realtime) -> None:
        super().__init__(cast("Deps", None), wire)

    def events(self) -> dict[str, Event]:
        return {}

    def joined(self, eio_sid: str, who: Principal) -> Connection:
        return Connection(self.wire, self.name, eio_sid, who)

    async def left(self, connection: Connection) -> None:
        """Nothing to clean up."""

    async def connect(self, eio_sid: str, auth: Any) -> None:
        await self.wire.seat(eio_sid, "a")
        self.connections[eio_sid] = self.joined(eio_sid, WHO)

    def welcome(self, eio_sid: str) -> None:
        """Say nothing."""


@asynccontextmanager
async def serving(store: Store, **limits: Any) -> AsyncIterator[tuple[str, Realtime, Room]]:
    """Run the Socket.IO server alone, with places in a store of the test's."""
    settings = load_settings()
    http = type(settings.http).model_validate(
        {**settings.http.model_dump(), "proxies": ["127.0.0.0/8"]}
    )
    sockets = type(settings.socket).model_validate({**settings.socket.model_dump(), **limits})
    places = places_of(store)
    realtime = Realtime(http, sockets, SystemClock(), places)
    room = Room(realtime)
    realtime.add(room)
    app = web.Application()
    realtime.attach(app)
    runner = site_runner(app, http)
    await runner.setup()
    async with running(places):
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}", realtime, room
        finally:
            store.free.set()
            await realtime.close_all()
            await runner.cleanup()


@pytest.mark.parametrize("headers", [{"X-Forwarded-For": "203.0.113.9"}, {}])
async def test_who_goes_while_redis_is_asked_leaves_nothing(headers: dict[str, str]) -> None:
    store = Store()
    store.free.clear()
    async with serving(store) as (url, realtime, room):
        async with raw(url, headers=headers) as client:
            await client.say("40/p,{}")
            await until(lambda: store.rounds)
            [(asked, _)] = store.rounds
            owner = "address:203.0.113.9" if headers else "account:a"
            assert [place.owner for place, _ in asked] == [owner]
            realtime.drop(next(iter(realtime._guards)))
            await until(lambda: not realtime._guards)
            store.free.set()
            await client.closed()
        await until(lambda: len(store.rounds) == 2 and not store.places)
        await until(lambda: not realtime.manager.rooms)
        assert not room.connections
        assert not realtime.environ
        assert realtime._admission._accounts.total == 0


async def test_who_is_refused_by_redis_keeps_no_place_here() -> None:
    store = Store()
    async with serving(store, account_connections=1) as (url, realtime, room):
        async with raw(url) as first, raw(url) as second:
            await first.say("40/p,{}")
            await first.until("40/p")
            # The other place is held by another worker.
            realtime._admission._accounts.leave("a")
            await second.say("40/p,{}")
            assert "Too many connections of this account" in await second.until("44/p")
            assert realtime._admission._accounts.total == 0
            assert len(room.connections) == len(store.places) == 1
            realtime._admission._accounts.take("a")
        await until(lambda: not store.places)


async def test_where_somebody_connects_from_is_known_while_they_are_there() -> None:
    async with serving(Store()) as (url, realtime, room):
        for headers, address in (({"X-Forwarded-For": "203.0.113.9"}, "203.0.113.9"), ({}, None)):
            async with raw(url, headers=headers) as client:
                await client.say("40/p,{}")
                await client.until("40/p")
                [eio_sid] = room.connections
                assert realtime.address(eio_sid) == address
            await until(lambda: not realtime._guards)
            assert realtime.address(eio_sid) is None
