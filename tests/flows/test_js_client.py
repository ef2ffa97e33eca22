"""The official JavaScript client plays a session and watches it, in Node.js."""

import base64
import uuid
from typing import Any

import pytest

from server.simulation.performance import Manner, cast, rehearse
from tests.serving import Served
from tests.web.runtime import SCRIPTS, node, packages, run_told

CHILD = "child-js"
DEVICE_US = 7_000_000_000
PACE = 2.0
"""Pictures are sent this much faster than they were taken; the score knows capture time only."""


@pytest.fixture
def script() -> list[str]:
    """Return the command that plays the session."""
    packages()
    return [node(), str(SCRIPTS / "session.mjs")]


@pytest.fixture(params=["lean", "stock"])
def transport(request: pytest.FixtureRequest) -> str:
    """Serve the client through each transport."""
    return str(request.param)


@pytest.mark.alone  # how much of the feed is thinned out is the machine's
@pytest.mark.parametrize("parser", ["default", "msgpack"])
async def test_the_official_client_plays_and_watches_a_session(
    script: list[str], served: Served, parser: str
) -> None:
    plan, reps = _plan(served)
    plan["parser"] = parser
    told = await run_told(*script, plan=plan)
    sent = len(plan["frames"])
    seen = told["seen"]
    last = told["last"] + 1  # `session:close` comes after `set:end`

    assert told["refused"]["data"]["code"] == "unauthenticated"
    assert told["welcome"]["protocol"] == 1
    assert told["opened"]["expected"] == 0
    assert [s["session_id"] for s in told["list"]["sessions"]] == [told["opened"]["session_id"]]
    assert told["joined"]["snapshot"]["set"] is None
    assert told["snapshot"]["snapshot"]["set"]["motion"] == "fist"
    assert told["started"]["set_no"] == 1

    record = told["record"]
    assert record["metrics"]["reps_full"] + record["metrics"]["reps_partial"] == reps
    assert [rep["rep_no"] for rep in seen["reps"]] == list(range(1, len(seen["reps"]) + 1))
    # The last repetition may be closed by the end of the set, which the record tells.
    assert reps - 1 <= len(seen["reps"]) <= reps
    assert len(seen["peaks"]) >= len(seen["reps"])
    assert len(seen["scores"]) >= 5
    assert (seen["gaps"], seen["refused"]) == ([], [])

    assert seen["acks"] == sorted(seen["acks"], key=lambda mark: mark["buffered"])
    assert told["unknown"]["error"]["code"] == "invalid"
    assert told["result"]["messages"] == last + 1
    assert told["result"]["sets"][0]["grade"] == record["grade"]
    assert told["end"]["result"] == told["result"]

    assert seen["feeds"] >= sent / 2
    assert seen["offsets"] == sorted(set(seen["offsets"]))
    assert seen["feedBytes"] > 0
    assert [rep["rep_no"] for rep in seen["feedReps"]] == [rep["rep_no"] for rep in seen["reps"]]


def _plan(served: Served) -> tuple[dict[str, Any], int]:
    """Return what the script shall play, and the true number of repetitions in it."""
    manner = Manner(motions=("fist",), rom=0.9)
    performance = rehearse(cast(manner, 5), manner, seed=5, number=0, left_s=10.0)
    frames = [
        {"ms": round(1000 * shot.s / PACE), "bytes": base64.b64encode(shot.payload).decode()}
        for shot in performance.shots(DEVICE_US, seq0=1)
    ]
    plan = {
        "url": served.url,
        "gameToken": served.token("guardian", CHILD),
        "watchToken": served.token("therapist", "*"),
        "open": {
            "child_id": CHILD,
            "kind": "therapy",
            "space": "world",
            "fps": 30,
            "app_version": "js-1",
            "client_key": str(uuid.uuid4()),
        },
        "start": {
            "set_no": 1,
            "motion": performance.motion,
            "side": performance.side,
            "asked_reps": performance.asked_reps,
            "guide_t0_us": DEVICE_US + performance.lead_us,
        },
        "frames": frames,
    }
    return plan, len(performance.simulated.reps)
