"""The frame stage written plainly, one hand at a time: what the batch is measured against."""

import numpy as np
from numpy.typing import NDArray

from sessions.scoring.plan import GUIDE_PHASES, SetPlan

Floats = NDArray[np.float64]

PARENTS = np.array([0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19])
KNUCKLES = np.array([5, 9, 13, 17])
TIPS = np.array([8, 12, 16, 20])
JOINTS = np.array([0, 1, 2, 15, 23, 27, 16, 24, 28, 17, 25, 29, 18, 26, 30])


class PlainHand:
    """One hand of a fist-like motion: verdict, palm frame, filter, features, signal, detector."""

    def __init__(self, plan: SetPlan) -> None:
        self.plan = plan
        self.guide = plan.motion.guide.astype(np.float64)
        self.weights = plan.motion.guide_weights.astype(np.float64)
        self.primary = plan.motion.primary.astype(np.float64)
        self.t_us: int | None = None
        self.scale = 0.0
        self.last = self.speed = np.zeros((20, 3))
        self.rising = False
        self.extreme = 0.0
        self.pending = False
        self.reps = 0
        self.z = 0.0
        self.similarity = 0.0
        self.accepted = 0
        self.curled = self.palmar = 0
        self.score = 0
        self.low, self.high, self.total = np.inf, -np.inf, 0.0
        self.bones = np.zeros(12)
        self.squares = np.zeros(12)
        self.histogram = np.zeros((15, 240), np.int64)
        self.ring: list[tuple[int, float, float]] = []

    def frame(self, t_us: int, score: int, lm: NDArray[np.int16]) -> None:
        """Take one record of world landmarks (21, 3)."""
        points = lm * 1e-5
        if self.plan.side == "left":
            points = points * np.array([-1.0, 1.0, 1.0])
        if score < 127.5 or np.abs(points).max() > 0.5:
            return
        a = points[1:] - points[0]
        scale = float(np.linalg.norm(a[8]))
        if not 0.02 <= scale <= 0.25:
            return
        y = a[8] / scale
        normal = np.cross(a[4], a[16])
        if np.linalg.norm(normal) < 0.15 * np.linalg.norm(a[4]) * np.linalg.norm(a[16]):
            return
        since = None if self.t_us is None else t_us - self.t_us
        if since is not None and (since < 1000 or (abs(scale / self.scale - 1) > 0.4)):
            return
        normal = normal - (normal @ y) * y
        normal = normal / np.linalg.norm(normal)
        axes = np.stack([np.cross(y, normal), y, normal])
        q = a @ axes.T / scale
        self._filter(q, since)
        self.t_us, self.scale = t_us, scale
        features = self._features(self.last, axes)
        self._measure(t_us, features)
        self._add_up(score, features, q)

    def _filter(self, q: Floats, since: int | None) -> None:
        motion = self.plan.motion
        if since is None or since > 500_000:
            self.last, self.speed = q, np.zeros_like(q)
            return
        h = since / 1e6
        turn = 2 * np.pi * h
        gain = turn * motion.f_d / (1 + turn * motion.f_d)
        self.speed = self.speed + gain * ((q - self.last) / h - self.speed)
        cut = motion.f_min + motion.beta * np.abs(self.speed)
        self.last = self.last + turn * cut / (1 + turn * cut) * (q - self.last)

    def _features(self, q: Floats, axes: Floats) -> Floats:
        out = np.zeros(44)
        points = np.vstack([np.zeros(3), q])
        bones = points[1:] - points[PARENTS]
        for finger in range(5):
            for joint in range(3):
                u, w = bones[4 * finger + joint], bones[4 * finger + joint + 1]
                sine = np.linalg.norm(np.cross(u, w))
                out[3 * finger + joint] = np.degrees(np.arctan2(sine, u @ w))
        for k, knuckle in enumerate(KNUCKLES):
            d, d2, d3 = bones[knuckle], bones[knuckle + 1], bones[knuckle + 2]
            out[15 + k] = np.degrees(np.arctan2(d[2], d[1]))
            out[19 + k] = np.degrees(np.arctan2(d[0], np.hypot(d[1], d[2])))
            unit = d / np.linalg.norm(d)
            hinge = np.array([1.0, 0.0, 0.0]) - unit[0] * unit
            length = np.linalg.norm(hinge)
            if length < 0.2:
                out[23 + k], out[27 + k] = out[3 * k + 4], out[3 * k + 5]
            else:
                hinge = hinge / length
                out[23 + k] = np.degrees(np.arctan2(np.cross(d, d2) @ hinge, d @ d2))
                out[27 + k] = np.degrees(np.arctan2(np.cross(d2, d3) @ hinge, d2 @ d3))
        thumb = points[4]
        out[31:35] = np.linalg.norm(points[TIPS] - thumb, axis=1)
        sine = np.linalg.norm(np.cross(thumb, points[8]))
        out[35] = np.degrees(np.arctan2(sine, thumb @ points[8]))
        out[36] = out[19] - out[22]
        out[37] = np.degrees(np.arctan2(axes[0, 2], -axes[2, 2]))
        out[38] = np.degrees(np.arctan2(axes[1, 0], -axes[1, 1]))
        out[39:43] = out[15:19] + out[23:27] + out[27:31]
        out[43] = out[39:43].mean()
        return out

    def _measure(self, t_us: int, features: Floats) -> None:
        plan = self.plan
        x = float(self.primary @ features)
        self.z = z = (x - plan.rest) / (plan.target - plan.rest)
        delta = plan.motion.delta
        if self.rising:
            if z > self.extreme:
                self.extreme = z
            elif self.extreme - z >= delta:
                self.rising, self.extreme, self.pending = False, z, True
        elif z < self.extreme or not self.accepted:
            self.extreme = z
        elif z - self.extreme >= delta:
            self.reps += self.pending
            self.rising, self.extreme, self.pending = True, z, False
        since = (t_us - plan.guide_t0_us) % plan.guide_period_us
        phase = since * GUIDE_PHASES // plan.guide_period_us
        window = self.guide[(phase + np.arange(-5, 6)) % GUIDE_PHASES]
        apart = ((window - features) ** 2 @ self.weights).min()
        self.similarity = 100.0 * float(np.exp(-apart / 400.0))
        self.low, self.high = min(self.low, x), max(self.high, x)
        self.total += x
        self.ring.append((t_us, x, z))
        if len(self.ring) > 330:
            self.ring.pop(0)

    def _add_up(self, score: int, features: Floats, q: Floats) -> None:
        self.accepted += 1
        self.score += score
        if abs(features[43]) > 60:
            self.curled += 1
            self.palmar += bool(self.last[TIPS - 1, 2].sum() > 0)
        fingers = q.reshape(5, 4, 3)[1:]
        lengths = np.linalg.norm(fingers[:, 1:] - fingers[:, :-1], axis=2).ravel()
        self.bones += lengths
        self.squares += lengths**2
        bins = np.clip(features[JOINTS] + 60, 0, 239).astype(int)
        self.histogram[np.arange(15), bins] += 1
