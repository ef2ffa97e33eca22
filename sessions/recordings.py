"""Recordings of hands in files, as the columns that the scoring takes."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sessions.frames import MIRRORED, SIDES, T0_MAX, FrameError, decode
from sessions.scoring.intake import Columns, columns_of
from sessions.scoring.plan import Side, Space

LENGTH: Final = struct.Struct("<I")
"""Before every binary frame message in a file: its length in bytes."""
_LOADED_FPS: Final = 30.0


class RecordingError(Exception):
    """A recording that cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What a file may leave open."""

    side: Side
    """Of hands whose side is not told."""
    mirrored: bool = False
    fps: float | None = None
    """Frames per second where no times are told; else the nominal rate."""
    aspect: float | None = None
    """Width by height of the picture where the file does not tell it; 1 changes nothing."""
    array: str | None = None
    """Name of the landmarks in an .npz that holds several recordings."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Frames of one hand or two, in the order in which they were taken."""

    columns: Columns
    space: Space
    fps: float
    """Nominal frames per second."""

    @property
    def begin_us(self) -> int:
        """Capture time of the first frame."""
        return int(self.columns.t_us[0])


def load_recording(path: Path, space: Space, hints: Hints) -> Recording:
    """Read a recording.

    `.npz` holds `lm` (n, 21, 3) and `t_us` (n,), and if it likes `side` (`left`, `right`, or 0, 1;
    one or n), `score` (0..1, or integers to 255), `mirrored` (one or n), `aspect`; or only arrays
    of landmarks, of which `hints.array` names one. `.npy` is (n, 21, 3), or (n, 84 or more) with
    x, y, z and one number to skip of each point. Anything else is binary frame messages, each
    after its length (u32, little-endian).

    Raises:
        RecordingError: it is none of these.
        OSError: the file cannot be read.
    """
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as held:
            return _of_arrays(dict(held), space, hints)
    if path.suffix == ".npy":
        return _of_arrays({"lm": _points(np.load(path, allow_pickle=False))}, space, hints)
    return _of_messages(path.read_bytes(), space, hints)


def _points(rows: NDArray[Any]) -> NDArray[Any]:
    if rows.ndim == 2 and rows.shape[1] >= 84:
        return rows[:, :84].reshape(-1, 21, 4)[:, :, :3]
    return rows


def _of_arrays(held: Mapping[str, NDArray[Any]], space: Space, hints: Hints) -> Recording:
    name = hints.array or "lm"
    if name not in held:
        names = ", ".join(sorted(held))
        raise RecordingError(f"no array {name!r} in the file; it holds {names}")
    lm = held[name]
    if lm.ndim != 3 or lm.shape[1:] != (21, 3) or not len(lm) or lm.dtype.kind not in "fiu":
        raise RecordingError(f"{name!r} is {lm.dtype} {lm.shape}, not numbers (n, 21, 3)")
    n = len(lm)
    times = held.get("t_us")
    if times is None:
        fps = hints.fps or _LOADED_FPS
        t_us = np.rint(np.arange(n) * (1e6 / fps)).astype(np.int64)
    else:
        if times.dtype.kind not in "iu":
            raise RecordingError(f"t_us is {times.dtype}: whole microseconds are asked")
        t_us = np.clip(_each("t_us", times, n), 0, T0_MAX).astype(np.int64)
        fps = hints.fps or _rate(t_us)
    aspect = hints.aspect or float(held.get("aspect", np.ones(1)).ravel()[0])
    if not (np.isfinite(aspect) and aspect > 0.0 and np.isfinite(fps) and fps > 0.0):
        raise RecordingError("aspect and fps are positive numbers")
    mirrored = _each("mirrored", held.get("mirrored", np.array(hints.mirrored)), n).astype(bool)
    columns = Columns(
        work=np.zeros(n, np.intp),
        slot=np.zeros(n, np.intp),
        t_us=t_us,
        counter=np.arange(n),
        side=_sides(_each("side", held.get("side", np.array(hints.side)), n)),
        flags=np.where(mirrored, MIRRORED, 0).astype(np.uint8),
        score=_scores(_each("score", held.get("score", np.array(255)), n)),
        unit=np.ones(n),
        aspect=np.full(n, aspect if space == "image" else 1.0),
        lm=lm.astype(np.float32),
    )
    return Recording(columns, space, fps)


def _each(name: str, values: NDArray[Any], n: int) -> NDArray[Any]:
    """(n,) of one value or n."""
    if values.size == 1:
        return np.repeat(values.ravel(), n)
    if values.shape != (n,):
        raise RecordingError(f"{name} is {values.shape}, not one value or ({n},)")
    return values


def _sides(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.dtype.kind in "iub":
        codes = values.astype(np.int64)
    else:
        codes = np.full(len(values), -1, np.int64)
        for code, side in enumerate(SIDES):
            codes[values.astype(str) == side] = code
    if not np.isin(codes, range(len(SIDES))).all():
        raise RecordingError("side is 'left' or 'right', or 0 or 1")
    return codes.astype(np.uint8)


def _scores(values: NDArray[Any]) -> NDArray[np.uint8]:
    if values.dtype.kind == "f":
        values = np.nan_to_num(values.astype(np.float64)) * 255.0
    steps: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return steps


def _rate(t_us: NDArray[np.int64]) -> float:
    steps = np.diff(t_us)
    steps = steps[steps > 0]
    return float(1e6 / np.median(steps)) if steps.size else _LOADED_FPS


def _of_messages(data: bytes, space: Space, hints: Hints) -> Recording:
    messages, at = [], 0
    while at < len(data):
        size = LENGTH.unpack_from(data, at)[0] if at + LENGTH.size <= len(data) else len(data)
        at += LENGTH.size
        if at + size > len(data):
            raise RecordingError(f"cut off at byte {at}: a message of {size} bytes was to follow")
        try:
            messages.append(decode(memoryview(data)[at : at + size], space))
        except FrameError as error:
            raise RecordingError(f"message {len(messages) + 1}: {error.message}") from None
        at += size
    if not messages:
        raise RecordingError("the file is empty")
    columns = columns_of([(0, message) for message in messages])
    return Recording(columns, space, hints.fps or _rate(columns.t_us))
