"""What the lean transport leans on, and what happens when it is not there."""

import logging
from typing import Any

import pytest
from aiohttp import web_protocol

from config.clock import SystemClock
from config.metrics import REGISTRY
from config.settings import load_settings
from server.realtime import parser
from server.realtime.server import Realtime


class Deaf:
    """A parser that keeps what it is fed."""

    def __init__(self, *_: Any, **__: Any) -> None:
        """Take what aiohttp's takes."""

    def feed_data(self, data: bytes) -> None:
        """Hand nothing over."""


class Broken(Deaf):
    """A parser that cannot even be fed."""

    def feed_data(self, data: bytes) -> None:
        raise RuntimeError("changed")


class Greedy:
    """A parser that takes messages of any size."""

    def __init__(self, queue: Any, size: int, **more: Any) -> None:
        self._reads = REAL(queue, 1_000_000, **more)

    def feed_data(self, data: bytes) -> None:
        self._reads.feed_data(data)


REAL = parser.WebSocketReader


@pytest.mark.parametrize(
    ("other", "why"),
    [(Deaf, "does not hand"), (Broken, "RuntimeError: changed"), (Greedy, "too large")],
)
def test_a_parser_that_works_otherwise_is_found_out(
    other: type[Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parser, "WebSocketReader", other)
    found = parser.fault()
    assert found is not None
    assert why in found


def test_a_method_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(web_protocol.RequestHandler, "set_parser")
    assert parser.fault() == "RequestHandler has no set_parser"


def test_a_parser_that_is_elsewhere_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser, "KNOWN", False)
    assert parser.fault() is not None


def made(transport: str) -> Realtime:
    """Return a server for which a transport was chosen."""
    settings = load_settings()
    limits = settings.socket.model_copy(update={"transport": transport})
    return Realtime(settings.http, limits, SystemClock())


def running(kind: str) -> float | None:
    """Return what the metric says of a transport."""
    return REGISTRY.get_sample_value("gemgem_transport", {"kind": kind})


async def test_the_transport_is_chosen_and_told() -> None:
    for chosen, other in (("stock", "lean"), ("lean", "stock")):
        assert made(chosen).transport == chosen
        assert (running(chosen), running(other)) == (1, 0)


async def test_a_server_falls_back_to_the_stock_transport_and_warns(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(parser, "WebSocketReader", Deaf)
    assert made("lean").transport == "stock"
    assert (running("stock"), running("lean")) == (1, 0)
    [record] = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "does not hand messages over" in record.getMessage()
