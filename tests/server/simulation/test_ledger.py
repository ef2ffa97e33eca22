"""The ledger's file and its digests."""

import json
from pathlib import Path

import pytest

from config.clock import SystemClock
from server.simulation.audit import read_ledger
from server.simulation.ledger import FileLedger, Played, canonical, digest


def test_canonical_json_has_one_spelling() -> None:
    assert canonical({"b": 1.0, "a": None, "c": ["한", 0.5]}) == '{"b":1,"c":["한",0.5]}'.encode()
    assert digest({"a": 30, "b": None}) == digest({"a": 30.0})
    assert digest({"a": 30}) != digest({"a": 31})
    assert digest(b"{}") == digest({})


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"a": float("nan")})


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with FileLedger(path, SystemClock()) as ledger:
        ledger.opened("s", "c")
        ledger.message("s", 0, "set:start", {"set_no": 1})
        ledger.message("s", 1, "frames", b"\x01\x02")
        ledger.acknowledged("s", 1, 0)
        ledger.refused("s", 1, "invalid")
        ledger.played("s", Played(1, "fist", "left", 3, {"full": 3}, {"set_no": 1}))
        ledger.message("t", 0, "frames", b"\x03")
    sittings = read_ledger(path)
    first, second = sittings["s"], sittings["t"]
    assert first.sent == {
        0: ("set:start", digest({"set_no": 1})),
        1: ("frames", digest(b"\x01\x02")),
    }
    assert (first.buffered, first.stored, first.promised) == (1, 0, 0)
    assert first.refused == {1}
    assert first.records == {1: digest({"set_no": 1})}
    assert (second.buffered, second.promised, second.result) == (-1, -1, None)


def test_a_sealed_session_promises_all_that_was_buffered(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with FileLedger(path, SystemClock()) as ledger:
        ledger.acknowledged("s", 9, 4)
        ledger.sealed("s", 9, {"grade": 80.0})
    sitting = read_ledger(path)["s"]
    assert (sitting.stored, sitting.promised) == (4, 9)
    assert sitting.result == digest({"grade": 80})


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with FileLedger(path, SystemClock()) as ledger:
        ledger.message("s", 0, "frames", b"x")
    with path.open("a") as file:
        file.write('{"kind":"message","session_id":"s","se')
    assert list(read_ledger(path)["s"].sent) == [0]


@pytest.mark.parametrize("text", ["", '{"kind":"ack","session_id":"s"}\n'])
def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ledger"
    path.write_text(text)
    with pytest.raises(ValueError, match="ledger"):
        read_ledger(path)


def test_a_ledger_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.write_text(json.dumps({"kind": "run", "version": 99}) + "\n")
    with pytest.raises(ValueError, match="version 99"):
        read_ledger(path)
