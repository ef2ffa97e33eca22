"""The frame messages that are sent: real simulated motion, ready but for its time."""

import struct
from dataclasses import replace

import numpy as np

from models.catalog.library import motion_library
from sessions.synthetic import play_set, sample_child

PERIOD_US = 33_333
"""From one frame to the next: 30 a second."""
T0_US = 1_000_000_000
"""Capture time of round 0."""
_HEAD = struct.Struct("<QI")
_HEAD_AT = 8


def t_us_of(number: int, frames: int = 1) -> int:
    """Return the capture time of the first frame of a round's messages.

    Args:
        frames: of a message.
    """
    return T0_US + number * frames * PERIOD_US


def round_of(t_us: int, frames: int = 1) -> int:
    """Return the round in whose messages a frame was that was captured at a time."""
    return (t_us - T0_US) // (frames * PERIOD_US)


class Motion:
    """Several children making the same fists, each in its own way, again and again.

    Nobody plays in step with everybody else: each child is there several times, and all began at
    different places of a repetition. In step, all hands would close theirs in the same ticks.

    Args:
        frames: of a message.
        starts: how often each child is there.
    """

    def __init__(self, children: int = 8, reps: int = 12, frames: int = 1, starts: int = 6) -> None:
        self.frames = frames
        self._starts = starts
        motion = motion_library().get("fist")
        self._children = []
        for seed in range(children):
            child = replace(sample_child(np.random.default_rng(seed), noise_mm=1.0), side="right")
            child = replace(child, dropout_rate=0.0)
            made = play_set(child, motion, reps=reps, seed=seed)
            whole = len(made.t_us) // frames  # the last message may have fewer
            messages = made.messages(frames)[:whole]
            self._children.append([payload for _, payload in messages])

    def __len__(self) -> int:
        return len(self._children) * self._starts

    def payload(self, child: int, number: int) -> bytes:
        """Return the frame message of a child in a round, one hand in each frame."""
        messages = self._children[child % len(self._children)]
        ahead = child * len(messages) // len(self)
        made = messages[(number + ahead) % len(messages)]
        head = _HEAD.pack(t_us_of(number, self.frames), number * self.frames)
        return made[:_HEAD_AT] + head + made[_HEAD_AT + _HEAD.size :]
