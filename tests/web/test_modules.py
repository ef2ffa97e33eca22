"""The page's modules in Node.js: arithmetic by their own tests, frames against the server's."""

import json
import subprocess
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sessions.frames import HDR, MIRRORED, NO_HAND, REC, UNITS, encode
from sessions.scoring.plan import Space
from tests.web.runtime import SCRIPTS, node, run_node

WIDTH, HEIGHT = 640, 480


def test_the_arithmetic_of_the_page() -> None:
    run_node("--test", str(SCRIPTS / "modules.test.mjs"))


@pytest.mark.parametrize("space", ["world", "image"])
def test_the_page_reads_what_the_server_writes(space: Space) -> None:
    random = np.random.default_rng(11)
    records = _records(random, 7)
    records["flags"][2] = NO_HAND
    records["flags"][4] = MIRRORED
    message = encode(space, 2**52 + 5, 4_000_000_000, WIDTH, HEIGHT, records)
    [read] = _read(message)
    assert read["space"] == space
    assert [r["t_us"] for r in read["records"]] == [2**52 + 5 + int(dt) for dt in records["dt"]]
    assert [r["seq"] for r in read["records"]] == [4_000_000_000 + int(d) for d in records["dseq"]]
    assert [r["side"] for r in read["records"]] == ["left", "right"] * 3 + ["left"]
    assert [r["absent"] for r in read["records"]] == [k == 2 for k in range(7)]
    assert read["records"][0]["confidence"] == pytest.approx(int(records["score"][0]) / 255)
    scale = np.array([1.0, 1.0, 1.0]) * UNITS[space]
    if space == "image":
        scale *= [WIDTH / HEIGHT, 1.0, WIDTH / HEIGHT]
    for k, record in enumerate(read["records"]):
        expected = records["lm"][k] * scale
        if k == 4:
            expected[:, 0] *= -1
        points = np.array(record["points"]).reshape(21, 3)
        np.testing.assert_allclose(points, expected, rtol=1e-6, atol=1e-9)


def test_the_page_steps_over_what_a_later_client_appends() -> None:
    records = _records(np.random.default_rng(3), 2)
    plain = encode("world", 1, 1, WIDTH, HEIGHT, records)
    size = REC.itemsize
    head = bytearray(plain[: HDR.size])
    head[6:8] = (size + 4).to_bytes(2, "little")
    body = plain[HDR.size :]
    longer = bytes(head) + body[:size] + b"more" + body[size:] + b"more"
    first, second = _read(plain, longer)
    assert first == second


def test_the_page_refuses_what_is_no_frame_message() -> None:
    good = encode("world", 1, 1, WIDTH, HEIGHT, _records(np.random.default_rng(5), 2))
    n0 = good[:4] + b"\0\0" + good[6 : HDR.size]
    bad = {
        "shorter than its header": good[:23],
        "wrong magic": b"XX" + good[2:],
        "unknown version": good[:2] + b"\x02" + good[3:],
        "unknown space": good[:3] + b"\x02" + good[4:],
        "wrong number of records": n0,
        "wrong length": good[:-1],
    }
    for (words, _), read in zip(bad.items(), _read(*bad.values()), strict=True):
        assert read == {"refused": f"frame message: {words}"}


def _records(random: np.random.Generator, n: int) -> NDArray[np.void]:
    records = np.zeros(n, REC)
    records["dt"] = np.arange(n) * 33_333
    records["dseq"] = np.arange(n)
    records["side"] = np.arange(n) % 2
    records["score"] = random.integers(0, 256, n)
    records["lm"] = random.integers(-32768, 32768, (n, 21, 3))
    return records


def _read(*messages: bytes) -> list[dict[str, Any]]:
    """Let the page's decoder read the messages."""
    done = subprocess.run(
        [node(), str(SCRIPTS / "decode.mjs")],
        input="\n".join(message.hex() for message in messages),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
