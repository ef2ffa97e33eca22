"""One hand beside the other: the same motion played with both on one day."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

COMPARED: Final = ("amplitude_med", "rate", "peak_speed_med")
LEAST_REPS: Final = 3
LEAST_SHARE: Final = 0.05
"""An amplitude of the unaffected hand below this share of its anchors' span divides nothing."""


def symmetry(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what the affected hand does of what the other does, for each motion played by both.

    Of several sets of a hand the last one counts. Each metric gets `lsi` (limb symmetry index),
    100 x affected / unaffected, and `symmetry_index`, 200 (unaffected - affected) / (unaffected +
    affected) (Robinson et al. 1987), both %; null with a `reason` where they would mean nothing.

    Args:
        records: PlayRecords of one child and one day, in order.
    """
    last: dict[tuple[str, int, str], dict[str, Mapping[str, Any]]] = {}
    for record in records:
        motion = record["motion"]
        key = (motion["id"], motion["version"], record["space"])
        last.setdefault(key, {})[record["side"]] = record
    return [_compared(hands) for hands in last.values() if len(hands) == 2]


def _compared(hands: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    by_role = {record["context"]["role"]: record for record in hands.values()}
    affected, unaffected = by_role.get("affected"), by_role.get("unaffected")
    some = next(iter(hands.values()))
    out: dict[str, Any] = {
        "motion": some["motion"]["id"],
        "affected_set_no": affected["set_no"] if affected is not None else None,
        "unaffected_set_no": unaffected["set_no"] if unaffected is not None else None,
        "reason": None,
        "metrics": {},
    }
    if affected is None or unaffected is None:
        out["reason"] = "no_affected_side"
    elif min(_reps(affected), _reps(unaffected)) < LEAST_REPS:
        out["reason"] = "fewer_than_3_repetitions"
    for name in COMPARED:
        out["metrics"][name] = {"lsi": None, "symmetry_index": None}
        if affected is not None and unaffected is not None and out["reason"] is None:
            out["metrics"][name] = _indices(name, affected, unaffected)
    return out


def _indices(
    name: str, affected: Mapping[str, Any], unaffected: Mapping[str, Any]
) -> dict[str, float | None]:
    weak, strong = affected["metrics"].get(name), unaffected["metrics"].get(name)
    if weak is None or strong is None or strong <= _least(name, unaffected) or weak < 0:
        return {"lsi": None, "symmetry_index": None}
    return {
        "lsi": 100.0 * weak / strong,
        "symmetry_index": 200.0 * (strong - weak) / (strong + weak),
    }


def _least(name: str, record: Mapping[str, Any]) -> float:
    if name != "amplitude_med":
        return 0.0
    anchors = record["anchors"]
    return LEAST_SHARE * abs(float(anchors["target"]) - float(anchors["rest"]))


def _reps(record: Mapping[str, Any]) -> int:
    return int(record["metrics"]["reps_full"] + record["metrics"]["reps_partial"])
