"""Recordings in files: every kind is read, and what is wrong is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sessions.frames import MIRRORED, SIDES, encode
from sessions.recordings import LENGTH, Hints, RecordingError, load_recording
from tests.sessions.scoring.made import played

RIGHT = Hints("right")
LM = np.random.default_rng(1).uniform(-0.1, 0.1, (5, 21, 3))
T_US = np.arange(5) * 40_000


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path / "one.npz", **arrays)
    return path / "one.npz"


def test_an_npz_with_everything(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        lm=LM,
        t_us=T_US,
        side=np.array(["left", "right", "left", "left", "left"]),
        score=np.array([0.0, 0.5, 1.0, np.nan, 2.0]),
        mirrored=np.array([True, False, True, True, True]),
        aspect=np.array(1.5),
    )
    found = load_recording(path, "image", RIGHT)
    assert found.columns.side.tolist() == [0, 1, 0, 0, 0]
    assert found.columns.score.tolist() == [0, 128, 255, 0, 255]
    assert found.columns.flags.tolist() == [MIRRORED, 0, MIRRORED, MIRRORED, MIRRORED]
    assert found.columns.aspect.tolist() == [1.5] * 5
    assert found.columns.t_us.tolist() == T_US.tolist()
    assert (found.fps, found.space, found.begin_us) == (25.0, "image", 0)
    assert load_recording(path, "world", RIGHT).columns.aspect.tolist() == [1.0] * 5


def test_what_a_file_leaves_open_is_taken_from_the_hints(tmp_path: Path) -> None:
    hints = Hints("left", mirrored=True, fps=15.0, aspect=2.0, array="A")
    found = load_recording(saved(tmp_path, A=LM, B=LM[:2]), "image", hints)
    assert set(found.columns.side.tolist()) == {SIDES.index("left")}
    assert set(found.columns.flags.tolist()) == {MIRRORED}
    assert found.columns.t_us[1] == 66_667
    assert (found.fps, found.columns.aspect[0]) == (15.0, 2.0)
    assert len(load_recording(saved(tmp_path, lm=LM), "world", RIGHT).columns) == 5


def test_an_npy_of_points_or_of_rows(tmp_path: Path) -> None:
    rows = np.zeros((5, 100))
    rows[:, :84].reshape(5, 21, 4)[:, :, :3] = LM
    for array in (LM, rows):
        np.save(tmp_path / "one.npy", array)
        found = load_recording(tmp_path / "one.npy", "image", RIGHT)
        assert np.abs(found.columns.lm - LM).max() < 1e-7


def test_messages_after_their_lengths(tmp_path: Path) -> None:
    made = played(reps=1)
    parts = [encode("world", 7, 0, 640, 480, made[i : i + 3]) for i in range(0, len(made), 3)]
    path = tmp_path / "one.frames"
    path.write_bytes(b"".join(LENGTH.pack(len(part)) + part for part in parts))
    found = load_recording(path, "world", RIGHT)
    assert (found.columns.lm == made["lm"]).all()
    assert found.fps == pytest.approx(30.0, abs=1.0)
    assert found.begin_us == 7
    with pytest.raises(RecordingError, match="message 1: coordinate space world"):
        load_recording(path, "image", RIGHT)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RecordingError, match="cut off"):
        load_recording(path, "world", RIGHT)
    for data in (b"", b"\1", b"\4\0\0\0abcd"):
        path.write_bytes(data)
        with pytest.raises(RecordingError):
            load_recording(path, "world", RIGHT)


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"other": LM}, "holds other"),
        ({"lm": LM[0]}, "not numbers"),
        ({"lm": LM[:0]}, "not numbers"),
        ({"lm": LM.astype(str)}, "not numbers"),
        ({"lm": LM, "t_us": T_US / 1e6}, "whole microseconds"),
        ({"lm": LM, "t_us": T_US[:3]}, "t_us is"),
        ({"lm": LM, "side": np.array("both")}, "side is"),
        ({"lm": LM, "side": np.array(2)}, "side is"),
        ({"lm": LM, "aspect": np.array(0.0)}, "positive"),
        ({"lm": LM, "score": np.ones((5, 2))}, "score is"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, arrays: dict[str, Any], why: str) -> None:
    with pytest.raises(RecordingError, match=why):
        load_recording(saved(tmp_path, **arrays), "world", RIGHT)
