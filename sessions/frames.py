"""The binary frame message: bytes to a structured view and back, checked before it is trusted."""

import struct
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sessions.scoring.plan import Side, Space

MAGIC: Final = 0x4647
VERSION: Final = 1
MAX_RECORDS: Final = 64
SPACES: Final[tuple[Space, ...]] = ("world", "image")
"""Coordinate spaces by their code in the header."""
SIDES: Final[tuple[Side, ...]] = ("left", "right")
"""Anatomical sides by their code in a record."""
UNITS: Final[dict[Space, float]] = {"world": 1e-5, "image": 1 / 16384}
"""What one step of a landmark's i16 means: metres, or a share of the picture."""

NO_HAND: Final = 1
MIRRORED: Final = 2
SMOOTHED: Final = 4

HDR: Final = struct.Struct("<HBBHHQIHH")
REC: Final = np.dtype(
    [
        ("dt", "<u4"),
        ("dseq", "<u2"),
        ("side", "u1"),
        ("flags", "u1"),
        ("score", "u1"),
        ("presence", "u1"),
        ("wrist", "<i2", (2,)),
        ("lm", "<i2", (21, 3)),
    ]
)
HEAD: Final = np.dtype(
    [
        *(("magic", "<u2"), ("version", "u1"), ("space", "u1"), ("n", "<u2"), ("record", "<u2")),
        *(("t0", "<u8"), ("seq0", "<u4"), ("width", "<u2"), ("height", "<u2")),
    ]
)
"""`HDR` as a numpy type, for many messages at once."""
SHAPE_BYTES: Final = 8
"""So much of a header tells whether it can be read: magic, version, space, and the records' number
and length. A message that begins like a good one and is as long is good as well."""
T0_MAX: Final = (1 << 62) - (1 << 32)
"""Clocks are cut here, so that no sum or difference of two capture times leaves an int64."""


class FrameError(Exception):
    """A frame message that is refused whole; `code` is the protocol's word for why."""

    def __init__(self, code: Literal["invalid", "unsupported_version"], message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, eq=False)
class FrameMessage:
    """A decoded message; `records` looks into the received bytes, nothing is copied."""

    space: Space
    t0_us: int
    """Device clock of the message, 0 .. 2^64 - 1, as sent."""
    seq0: int
    """Camera frame counter of the first record."""
    width: int
    height: int
    records: NDArray[np.void]
    """(n,) of `REC`."""
    payload: bytes | memoryview = b""
    """As received; empty where its records are longer than the known ones."""

    @property
    def aspect(self) -> float:
        """Width by height of the picture where coordinates are shares of it, else 1."""
        if self.space == "world" or not self.width or not self.height:
            return 1.0
        return self.width / self.height

    def plain(self) -> bytes | memoryview:
        """The message as bytes with records of the known length, whatever it had besides."""
        if self.payload:
            return self.payload
        return encode(self.space, self.t0_us, self.seq0, self.width, self.height, self.records)

    def t_us(self) -> NDArray[np.int64]:
        """(n,) capture times, microseconds, 0 .. 2^62; absurd ones are cut off."""
        return min(self.t0_us, T0_MAX) + self.records["dt"].astype(np.int64)

    def counters(self) -> NDArray[np.int64]:
        """(n,) camera frame counters; both hands of one picture share it."""
        return self.seq0 + self.records["dseq"].astype(np.int64)


def decode(payload: bytes | memoryview, space: Space | None = None) -> FrameMessage:
    """Read a frame message.

    Args:
        payload: the bytes as received.
        space: the session's coordinate space; another one is refused. None takes either.

    Raises:
        FrameError: the message is refused whole. What a record holds is not judged here.
    """
    size = len(payload)
    if size < HDR.size:
        raise FrameError("invalid", f"a frame message has at least {HDR.size} bytes, not {size}")
    magic, version, space_code, n, record, t0, seq0, width, height = HDR.unpack_from(payload)
    if magic != MAGIC:
        raise FrameError("invalid", "not a frame message: wrong magic")
    if version != VERSION:
        raise FrameError("unsupported_version", f"frame version {version} is not {VERSION}")
    if space_code >= len(SPACES):
        raise FrameError("invalid", f"unknown coordinate space {space_code}")
    named = SPACES[space_code]
    if space is not None and named != space:
        raise FrameError("invalid", f"coordinate space {named} in a session of {space}")
    if not 1 <= n <= MAX_RECORDS:
        raise FrameError("invalid", f"{n} records: 1 to {MAX_RECORDS} are allowed")
    if record < REC.itemsize:
        raise FrameError("invalid", f"records of {record} bytes: at least {REC.itemsize}")
    if size != HDR.size + n * record:
        raise FrameError("invalid", f"{size} bytes: {n} records take {HDR.size + n * record}")
    if record == REC.itemsize:
        records = np.frombuffer(payload, REC, count=n, offset=HDR.size)
        return FrameMessage(named, t0, seq0, width, height, records, payload)
    # A later client may append fields to each record: step over what is not known.
    records = np.ndarray((n,), REC, payload, HDR.size, (record,))
    return FrameMessage(named, t0, seq0, width, height, records)


def encode(
    space: Space, t0_us: int, seq0: int, width: int, height: int, records: NDArray[np.void]
) -> bytes:
    """Write a frame message of (n,) `REC` records.

    Raises:
        FrameError: n outside 1..64 or a header field outside its range.
    """
    n = len(records)
    if not 1 <= n <= MAX_RECORDS:
        raise FrameError("invalid", f"{n} records: 1 to {MAX_RECORDS} are allowed")
    try:
        head = HDR.pack(
            MAGIC, VERSION, SPACES.index(space), n, REC.itemsize, t0_us, seq0, width, height
        )
    except struct.error as error:
        raise FrameError("invalid", f"a header field is out of range: {error}") from None
    return head + np.ascontiguousarray(records, REC).tobytes()


def quantised(landmarks: ArrayLike, space: Space) -> NDArray[np.int16]:
    """Landmarks (…, 3) in metres or picture shares as the i16 of a record, nearest, cut off."""
    steps = np.rint(np.asarray(landmarks, np.float64) / UNITS[space])
    return np.clip(steps, -32768, 32767).astype(np.int16)
