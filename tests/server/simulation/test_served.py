"""The server as a child process: what is said when it cannot start."""

import socket
from pathlib import Path

import pytest

from server.simulation.served import ServerError, free_port, serving


def test_a_port_that_is_free_is_taken_as_it_is() -> None:
    port = free_port("127.0.0.1", None, 0)
    assert free_port("127.0.0.1", port, 0) == port


def test_a_taken_default_gives_way_a_taken_wish_does_not() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port("127.0.0.1", None, port) != port
        with pytest.raises(ServerError, match=f"port {port} of 127.0.0.1 is in use"):
            free_port("127.0.0.1", port, 0)


async def test_a_server_that_ends_at_its_start_is_quoted(tmp_path: Path) -> None:
    wrong = {"GEMGEM_HTTP__BODY_BYTES": "-1"}
    with pytest.raises(ServerError, match=r"has ended; it said last: .*body_bytes"):
        async with serving(tmp_path, "127.0.0.1", free_port("127.0.0.1", None, 0), wrong):
            raise AssertionError("it cannot be ready")
