"""`gemgem demo` as somebody runs it: a process, its one line, Ctrl-C, a port that is taken."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
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
    mongo_url: str, redis_url: str, mongo_database: str, redis_prefix: str, tmp_path: Path
) -> Iterator[dict[str, str]]:
    yield {
        **os.environ,
        "TMPDIR": str(tmp_path),
        "GEMGEM_MONGO_URL": mongo_url,
        "GEMGEM_REDIS_URL": redis_url,
        "GEMGEM_STORE__MONGO_DATABASE": mongo_database,
        "GEMGEM_STORE__REDIS_PREFIX": redis_prefix,
    }
    # However it ended, nothing of it may be left behind: the server's keeper cleans up last.
    for _ in range(600):
        if not list(tmp_path.glob("gemgem-demo-*")):
            return
        time.sleep(0.05)
    raise AssertionError(f"left behind: {list(tmp_path.rglob('*'))}")


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


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


def _await(demo: "subprocess.Popen[str]", words: str) -> str:
    assert demo.stderr is not None
    for text in demo.stderr:
        if words in text:
            return text
    raise AssertionError(f"it ended before it said {words!r}")


def _ask(url: str, token: str = "", body: dict[str, Any] | None = None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    method = "GET" if body is None else "POST"
    answer = httpx.request(method, url, json=body, headers=headers, timeout=10)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


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


def test_the_therapist_it_prints_has_every_child_in_care(
    environment: dict[str, str], port: int
) -> None:
    demo = _demo(environment, port, "--children", "5", "--motion", "tap")
    address = _await(demo, "watch the children at")
    token = address.split("#token=")[1].strip()
    said = re.search(r"as (\S+) with the password (\S+)", _await(demo, "sign in at"))
    assert said is not None
    device = {"id": "device-0001", "name": "laptop", "platform": "web"}
    body = {"email": said[1], "password": said[2], "device": device}
    url = f"http://127.0.0.1:{port}"
    signed_in = _ask(f"{url}/v1/sign-ins", body=body)
    for access in (token, signed_in["accessToken"]):
        claims = jwt.decode(access, options={"verify_signature": False})
        assert (claims["roles"], claims.get("children")) == (["therapist"], None)
        kids = [child["id"] for child in _ask(f"{url}/v1/children", access)["items"]]
        assert len(set(kids)) == 5
    looked = _ask(f"{url}/v1/me", token)
    assert (looked["email"], looked["emailVerified"]) == (said[1], True)
    _await(demo, "5 sessions")
    demo.send_signal(signal.SIGINT)
    out, err = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 0, err
    _assert_whole(_line(out))


def test_in_production_there_is_no_demonstration(environment: dict[str, str], port: int) -> None:
    demo = _demo({**environment, "GEMGEM_ENV": "production"}, port, "--seconds", "1")
    out, err = demo.communicate(timeout=PATIENCE_S)
    assert (demo.returncode, out) == (2, "")
    assert "not in production" in err
    assert "Traceback" not in err


def test_ctrl_c_ends_it_in_order(environment: dict[str, str], port: int) -> None:
    demo = _demo(environment, port, "--children", "2", "--motion", "tap")
    _await(demo, "sessions")  # the first line of the running children
    demo.send_signal(signal.SIGINT)
    out, err = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 0, err
    _assert_whole(_line(out))
    assert "Traceback" not in err


def test_killed_outright_it_takes_its_server_along(environment: dict[str, str], port: int) -> None:
    demo = _demo(environment, port, "--children", "1")
    _await(demo, "watch the children")
    demo.kill()
    out, err = demo.communicate(timeout=PATIENCE_S)
    assert (demo.returncode, out) == (-signal.SIGKILL, "")
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
