"""`gemgem demo` as somebody runs it: a process, its one line, Ctrl-C, a port that is taken."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

KEYS = [
    "sent",
    "buffered",
    "stored",
    "reps_true",
    "reps_scored",
    "lost",
    "duplicated",
    "altered",
    "rescored_equal",
    "ack_p99_ms",
    "feed_p99_ms",
]
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90


@pytest.fixture
def environment(
    mongo_url: str, redis_url: str, mongo_database: str, redis_prefix: str
) -> dict[str, str]:
    return {
        **os.environ,
        "GEMGEM_MONGO_URL": mongo_url,
        "GEMGEM_REDIS_URL": redis_url,
        "GEMGEM_STORE__MONGO_DATABASE": mongo_database,
        "GEMGEM_STORE__REDIS_PREFIX": redis_prefix,
    }


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    yield number
    # Whatever happened, nothing of the demonstration may still listen.
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", number)) != 0


def _demo(environment: dict[str, str], port: int, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "server", "demo", "--port", str(port), *options],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _line(out: str) -> dict[str, object]:
    lines = out.splitlines()
    assert len(lines) == 1, out
    line: dict[str, object] = json.loads(lines[0])
    return line


def _assert_whole(line: dict[str, object]) -> None:
    assert list(line) == KEYS
    assert line["sent"] == line["buffered"] == line["stored"]
    assert line["reps_true"] == line["reps_scored"]
    assert (line["lost"], line["duplicated"], line["altered"]) == (0, 0, 0)
    assert line["rescored_equal"] is True


def test_the_demonstration_ends_with_one_line(environment: dict[str, str], port: int) -> None:
    options = ["--children", "2", "--seconds", "4", "--motion", "tap"]
    demo = _demo(environment, port, *options)
    out, err = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 0, err
    line = _line(out)
    _assert_whole(line)
    assert isinstance(line["reps_true"], int)
    assert line["reps_true"] >= 4
    assert f"http://127.0.0.1:{port}/console#token=ey" in err


def test_ctrl_c_ends_it_in_order(environment: dict[str, str], port: int) -> None:
    demo = _demo(environment, port, "--children", "2", "--motion", "tap")
    assert demo.stderr is not None
    for text in demo.stderr:
        if "sessions" in text:  # the first line of the running children
            break
    demo.send_signal(signal.SIGINT)
    out, err = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 0, err
    _assert_whole(_line(out))
    assert "Traceback" not in err


def test_a_taken_port_is_said_plainly(environment: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        demo = _demo(environment, number, "--seconds", "1")
        out, err = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 2
    assert out == ""
    assert err.strip() == (
        f"demo: port {number} of 127.0.0.1 is in use; choose another with --port"
    )
