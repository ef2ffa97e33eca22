"""`gemgem score`: a recording in a file gives what the same frames give in play."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.catalog.library import motion_library
from server.__main__ import main
from sessions.synthetic import ChildParameters, play_set
from tests.sessions.played import measured

RECORDINGS = Path(__file__).parents[3].parent / "shared" / "data" / "hand"
recorded = pytest.mark.skipif(not RECORDINGS.exists(), reason="the recorded hands are not here")


@pytest.fixture
def fists(tmp_path: Path) -> Path:
    made = play_set(ChildParameters(), motion_library().get("fist"), reps=3, seed=1)
    np.savez(tmp_path / "fists.npz", lm=made.landmarks, t_us=made.t_us, side=made.side)
    return tmp_path / "fists.npz"


def told(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    assert main(["score", *args, "--json"]) == 0
    record: dict[str, Any] = json.loads(capsys.readouterr().out)
    return record


def test_a_recording_is_scored_as_it_was_played(
    fists: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = told(capsys, str(fists), "--motion=fist", "--side=right", "--asked=3", "--age=8")
    made = play_set(ChildParameters(), motion_library().get("fist"), reps=3, seed=1)
    live = measured([made])[0]
    assert record["metrics"]["reps_full"] + record["metrics"]["reps_partial"] == 3
    # Without the rounding of the messages.
    assert record["metrics"]["amplitude_med"] == pytest.approx(
        live["metrics"]["amplitude_med"], abs=0.5
    )
    assert record["grade"] > 50.0
    assert record["model"]["id"] == "fist-standard"
    assert record["anchors"]["source"] == "default"
    weaker = told(capsys, str(fists), "--motion=fist", "--side=right", "--target=150")
    assert weaker["anchors"]["target"] == 150.0
    assert weaker["metrics"]["completeness_med"] == 125.0
    other = told(capsys, str(fists), "--motion=fist", "--side=left")
    assert other["verdicts"]["other_hand"] == len(made.t_us)
    shadow = told(capsys, str(fists), "--motion=fist", "--side=right", "--model=fist-functional@1")
    assert shadow["model"]["id"] == "fist-functional"


def test_the_tables_tell_the_whole_result(fists: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(fists), "--motion", "fist", "--side", "right"]) == 0
    text = capsys.readouterr().out
    for word in ("fist", "repetitions", "completeness_med", "q_valid", "accepted", "index_mcp"):
        assert word in text


@pytest.mark.parametrize(
    "args",
    [
        ("missing.npz", "--motion=fist"),
        ("fists.npz", "--motion=fist", "--model=nothing"),
        ("fists.npz", "--motion=fist", "--model=tap-standard"),
        ("fists.npz", "--motion=fist", "--array=A"),
        ("fists.npz", "--motion=fist", "--target=35"),
        ("fists.npz", "--motion=fist", "--fps=-3"),
    ],
)
def test_what_cannot_be_scored_is_said(
    fists: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...]
) -> None:
    assert main(["score", str(fists.parent / args[0]), *args[1:], "--side=right"]) == 2
    assert capsys.readouterr().err.startswith("score: ")


@recorded
def test_a_recorded_v_sign_is_held(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--side=right", "--space=image", "--mirrored", "--aspect=1.7778", "--array=V")
    path = str(RECORDINGS / "asl3d_letters.npz")
    record = told(capsys, path, "--motion=scissors", *options, "--age=30", "--hold=3")
    assert record["metrics"]["hold_total"] > 4.0
    assert record["metrics"]["tremor_rms"] is not None
    assert "tremor_estimated" in record["flags"]
    assert told(capsys, path, "--motion=thumbup", *options)["metrics"]["hold_total"] == 0.0


@recorded
@pytest.mark.parametrize("name", ["come", "away"])
def test_recorded_movements_are_seen_and_bend_to_the_palm(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(RECORDINGS / f"seq3d_{name}_first_half.npy")
    options = ("--side=right", "--space=image", "--mirrored", "--fps=15", "--aspect=1.3333")
    record = told(capsys, path, "--motion=fist", *options)
    assert record["verdicts"]["accepted"] > 200
    assert record["quality"]["q_chir"] == 1.0
    wrong = told(capsys, path, "--motion=fist", *(o for o in options if o != "--mirrored"))
    assert (wrong["flags"], wrong["grade"]) == (["chirality_inverted"], None)
