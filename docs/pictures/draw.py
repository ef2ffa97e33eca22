"""Draw the pictures of docs/scoring.md from simulated children; run by scripts/pictures."""

from pathlib import Path
from typing import Any

import numpy as np
from svg import BLUE, FAINT, GREEN, INK, ORANGE, VIOLET, Canvas, Plot

from models.catalog.library import motion_library
from sessions.frames import decode
from sessions.kinematics import POSES, Floats, guide_angles, hand_points, landmarks
from sessions.motions import key_frames, motion_plan, signal_of
from sessions.scoring.batch import Batch
from sessions.scoring.features import features_of
from sessions.scoring.plan import SetPlan
from sessions.scoring.smoothness import sparc, speed
from sessions.scoring.tremor import spectrum
from sessions.synthetic import ChildParameters, SimulatedSet, play_set
from sessions.synthetic.body import pushes

HERE = Path(__file__).parent
RATE = 30.0
FINGERS = ((0, 1, 2, 3, 4), (0, 5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16), (0, 17, 18, 19, 20))
KNUCKLES = (5, 9, 13, 17)


def main() -> None:
    """Draw every picture."""
    fist_cycle()
    sparc_spectrum()
    bias()
    tremor()


def fist_cycle() -> None:
    """The hand, its signal, the repetitions found, beside what really happened."""
    definition = motion_library().get("fist")
    child = ChildParameters(rom=0.78, rep_jitter=0.12, landmark_noise_mm=1.0, latency_s=0.3)
    played = play_set(child, definition, reps=5, seed=11)
    anchors = definition.anchors.world
    trace, result = _scored(played)
    span = anchors.target - anchors.rest

    def seconds(us: float) -> float:
        return (us - played.guide_t0_us) / 1e6

    canvas = Canvas(860, 445)
    for k, share in enumerate((0.0, 0.3, 0.55, 0.8, 1.0, 0.45)):
        pose = POSES["open"].angles() + share * (POSES["fist"].angles() - POSES["open"].angles())
        _hand(canvas, 110 + 135 * k, 112, pose)
    plot = Plot(
        canvas, 60, 155, 780, 225, (seconds(played.t_us[0]), seconds(played.end_us)), (0, 260)
    )
    plot.frame(
        range(0, 17, 2),
        (0, 50, 100, 150, 200, 250),
        "seconds since the guide's start",
        "curl C, degrees",
    )
    period = played.guide_period_us / 1e6
    phases = np.arange(0.0, seconds(played.end_us), 0.02)
    shown = signal_of(
        definition,
        features_of(
            landmarks(guide_angles(key_frames(definition), phases / period), length=0.16),
            side="right",
        ),
    )
    plot.line(phases.tolist(), shown.tolist(), FAINT, width=1, dashes="2 3")
    true = signal_of(definition, features_of(landmarks(played.angles, length=0.16), side="right"))
    plot.line([seconds(t) for t in played.t_us], true.tolist(), ORANGE, width=1.2)
    plot.line(
        [seconds(t) for t in trace],
        [anchors.rest + span * z for z in trace.values()],
        BLUE,
        width=1.8,
    )
    plot.level(anchors.target, INK, "x_target, z = 1", left=True)
    plot.level(anchors.rest + 0.9 * span, GREEN, "full from here", left=True)
    plot.level(anchors.rest, INK, "x_rest, z = 0", left=True)
    for rep in result["reps"]:
        z = trace[rep["t_us"]]
        colour = GREEN if rep["class"] == "full" else VIOLET
        at = seconds(rep["t_us"]), anchors.rest + span * z
        plot.dots([at[0]], [at[1]], colour, radius=4.5)
        canvas.text(
            plot.px(at[0]),
            plot.py(at[1]) - 9,
            f"{rep['class']} {rep['completeness']:.0f} %",
            size=11,
            fill=colour,
            anchor="middle",
        )
    canvas.text(
        60,
        438,
        "blue: measured, orange: true, dotted: guide; dots: peaks of full (green) and partial "
        "(violet) repetitions with their completeness",
        size=11,
    )
    canvas.write(HERE / "fist-cycle.svg")


def _hand(canvas: Canvas, x: float, y: float, pose: Floats) -> None:
    """Draw the 21 landmarks from the thumb's side: a fist closes towards the left."""
    points = hand_points(pose, 95.0)[0]
    turn = np.radians(35.0)
    across = points[:, 0] * np.cos(turn) - points[:, 2] * np.sin(turn)
    px, py = x + across, y - points[:, 1]
    for finger in (*FINGERS, KNUCKLES):
        canvas.line([px[k] for k in finger], [py[k] for k in finger], INK, width=1.6, opacity=0.8)
    for a, b in zip(px, py, strict=True):
        canvas.dot(a, b, ORANGE, radius=2.0)


def sparc_spectrum() -> None:
    """Speed and spectrum of a movement in one push and of one in three."""
    canvas = Canvas(860, 300)
    left = Plot(canvas, 60, 40, 330, 200, (0, 1.4), (0, 1.05))
    right = Plot(canvas, 490, 40, 350, 200, (0, 10), (0, 1.05))
    left.frame((0, 0.4, 0.8, 1.2), (0, 0.5, 1), "seconds", "speed, share of its peak")
    right.frame(
        (0, 2, 4, 6, 8, 10), (0, 0.05, 0.5, 1), "Hz", "spectrum of the speed, share of its peak"
    )
    for count, colour, place in ((1, BLUE, 66), (3, ORANGE, 84)):
        cuts = np.tile([(k + 1) / count for k in range(count)], (200, 1))
        time = np.arange(-4 / RATE, 1.2 + 4 / RATE, 1 / RATE)
        way = pushes(np.clip(time / 1.2, 0, 1), cuts[: len(time)])
        v = speed(way)
        left.line(np.arange(len(v)) / RATE, (v / v.max()).tolist(), colour, width=2)
        n = 2 ** (int(np.ceil(np.log2(len(v)))) + 4)
        spectrum = np.abs(np.fft.rfft(v, n))
        spectrum /= spectrum.max()
        f = np.arange(len(spectrum)) * RATE / n
        last = int(np.flatnonzero((spectrum >= 0.05) & (f <= 10))[-1])
        right.line(f[f <= 10].tolist(), spectrum[f <= 10].tolist(), FAINT, width=1)
        right.line(f[: last + 1].tolist(), spectrum[: last + 1].tolist(), colour, width=2.2)
        value = sparc(v)
        canvas.text(
            835,
            place,
            f"{count} push{'es' if count > 1 else ''}: SPARC {value:.2f}",
            fill=colour,
            anchor="end",
        )
    canvas.text(
        490,
        292,
        "SPARC is minus the length of the coloured arc: more pushes, a longer arc",
        size=11,
    )
    canvas.write(HERE / "sparc.svg")


def bias() -> None:
    """What noise adds to the signed and to the unsigned angles, over the whole way to a fist."""
    shares = np.linspace(0, 1, 21)
    canvas = Canvas(860, 320)
    plot = Plot(canvas, 60, 40, 780, 220, (0, 250), (-10, 50))
    plot.frame(
        range(0, 251, 50),
        (-10, 0, 10, 20, 30, 40, 50),
        "true curl C, degrees",
        "error of the mean, degrees",
    )
    for noise, dashes in ((1.0, ""), (0.5, "5 4")):
        truth, signed, unsigned = bias_table(noise, shares)
        plot.line(truth.tolist(), (signed - truth).tolist(), BLUE, width=2, dashes=dashes)
        plot.line(truth.tolist(), (unsigned - truth).tolist(), ORANGE, width=2, dashes=dashes)
    canvas.text(835, 64, "unsigned: sum of the bends", fill=ORANGE, anchor="end")
    canvas.text(835, 82, "signed about the hinge axis: C", fill=BLUE, anchor="end")
    canvas.text(
        60,
        312,
        "full lines: 1 mm of landmark noise (3 mm in depth), dashed: 0.5 mm; "
        "14 cm hand, no filter, 4000 frames a point",
        size=11,
    )
    canvas.write(HERE / "bias.svg")


def bias_table(
    noise_mm: float, shares: Floats, frames: int = 4000
) -> tuple[Floats, Floats, Floats]:
    """Return true C and the means of signed and unsigned C under noise, degrees, for each share."""
    rng = np.random.default_rng(3)
    open_hand, fist = POSES["open"].angles(), POSES["fist"].angles()
    rows = []
    for share in shares:
        points = landmarks(open_hand + share * (fist - open_hand), length=0.14)
        still = features_of(points, side="right")[0]
        noise = rng.normal(0, noise_mm / 1000, (frames, 21, 3)) * [1, 1, 3]
        noisy = features_of(points + noise, side="right")
        rows.append((still[43], noisy[:, 43].mean(), noisy[:, 3:15].sum(axis=1).mean() / 4))
    truth, signed, unsigned = np.array(rows).T
    return truth, signed, unsigned


def tremor() -> None:
    """A pinch that trembles beside one that does not: the signal, and the spectrum of the tips."""
    canvas = Canvas(860, 300)
    left = Plot(canvas, 60, 40, 330, 200, (-0.3, 9), (-0.1, 1.3))
    right = Plot(canvas, 490, 40, 350, 200, (0, 15), (0, 8))
    left.frame((0, 2, 4, 6, 8), (0, 0.5, 1), "seconds since the guide's start", "z of a pinch")
    right.frame((0, 3, 6, 9, 12, 15), (0, 2, 4, 6, 8), "Hz", "spectrum of the tips, mm per root Hz")
    for degrees, colour, place in ((4.0, ORANGE, 66), (0.0, BLUE, 84)):
        child = ChildParameters(tremor_hz=6.0, tremor_deg=degrees, rom=1.0, landmark_noise_mm=0.3)
        played = play_set(child, motion_library().get("pinch"), reps=1, hold_s=6.0, seed=4)
        trace, result = _scored(played)
        times = [(t - played.guide_t0_us) / 1e6 for t in trace]
        left.line(times, list(trace.values()), colour, width=1.5)
        hold = max(played.truth.holds, key=lambda one: one.seconds)
        inside = (played.t_us > hold.start_us + 3e5) & (played.t_us < hold.end_us - 3e5)
        time = (played.t_us[inside] - hold.start_us) / 1e6
        tips = 1000 * played.landmarks[inside][:, [4, 8]]
        tips = (tips - played.landmarks[inside][:, :1] * 1000).reshape(len(time), -1)
        grid = np.arange(time[0], time[-1], 1 / RATE)
        even = np.stack([np.interp(grid, time, column) for column in tips.T], axis=1)
        f, power = spectrum(even - even.mean(axis=0))
        shown = f >= 0.5
        root = np.sqrt(power.sum(axis=1) / 2)
        right.line(f[shown].tolist(), root[shown].tolist(), colour, width=2)
        rms = result["metrics"]["tremor_rms"]
        words = f"tremor of {degrees:g} degrees" if degrees else "still hand"
        canvas.text(835, place, f"{words}: {rms:.1f} mm", fill=colour, anchor="end")
    left.level(0.9, GREEN, "in from here")
    left.level(0.8, FAINT, "")
    canvas.text(490, 292, "tremor_rms counts 3 to 12 Hz; landmark noise of 0.3 mm", size=11)
    canvas.write(HERE / "tremor.svg")


def _scored(played: SimulatedSet) -> tuple[dict[int, float], dict[str, Any]]:
    """Return z by capture time, and the measures, of a set in world space."""
    anchors = played.motion.anchors.world
    batch = Batch()
    plan = SetPlan(
        motion_plan(played.motion.id),
        played.side,
        "world",
        played.child.fps,
        played.guide_t0_us,
        played.guide_period_us,
        anchors.rest,
        anchors.target,
    )
    slot = batch.open(plan)
    trace: dict[int, float] = {}
    for message in played.messages(6):
        batch.step([(slot, decode(message.payload))])
        trace.update(batch.trace(slot))
    return trace, batch.close(slot)


if __name__ == "__main__":
    main()
