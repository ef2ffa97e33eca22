"""Sealed fields: what opens, what must not, and how keys rotate."""

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.accounts.tokens import create_dev_key
from models.cipher import (
    Context,
    FieldCipher,
    KeyRing,
    KeyRingError,
    UnsealError,
    dev_ring,
    ring_of,
)

OLD, NEW, INDEX = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
CIPHER = FieldCipher(KeyRing({"new": NEW, "old": OLD}, "new", INDEX))
HERE = Context("children", "name", "c_1")


def coded(key: bytes) -> str:
    return base64.b64encode(key).decode()


@given(st.text(), st.builds(Context, st.text(), st.text(), st.text()))
def test_what_is_sealed_opens_in_its_place(text: str, context: Context) -> None:
    sealed = CIPHER.seal(text, context)
    assert CIPHER.open(sealed, context) == text
    assert not CIPHER.is_stale(sealed)


def test_the_same_text_is_never_sealed_the_same() -> None:
    assert CIPHER.seal("지우", HERE) != CIPHER.seal("지우", HERE)


@given(st.data())
def test_one_flipped_bit_anywhere_does_not_open(data: st.DataObject) -> None:
    head, _, body = CIPHER.seal("지우", HERE).rpartition(".")
    box = bytearray(base64.urlsafe_b64decode(body))
    at = data.draw(st.integers(0, len(box) - 1))
    box[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(UnsealError, match=r"children\.name"):
        CIPHER.open(f"{head}.{base64.urlsafe_b64encode(bytes(box)).decode()}", HERE)


@pytest.mark.parametrize(
    "elsewhere",
    [
        HERE._replace(owner_id="c_2"),
        HERE._replace(field="note"),
        HERE._replace(collection="diagnoses"),
        Context("childrenn", "ame", "c_1"),  # the same letters, cut elsewhere
    ],
)
def test_a_field_moved_elsewhere_does_not_open(elsewhere: Context) -> None:
    with pytest.raises(UnsealError):
        CIPHER.open(CIPHER.seal("지우", HERE), elsewhere)


@pytest.mark.parametrize(
    "text",
    ["", "지우", "s1.new", "s1.new.", "s1.new.AA==", "s2.new.AAAA", "s1.gone.AAAA", "s1.new.한글"],
)
def test_what_is_not_sealed_does_not_open(text: str) -> None:
    with pytest.raises(UnsealError):
        CIPHER.open(text, HERE)


def test_a_key_that_was_newest_still_opens_and_is_stale() -> None:
    before = FieldCipher(KeyRing({"old": OLD}, "old", INDEX))
    sealed = before.seal("지우", HERE)
    assert CIPHER.open(sealed, HERE) == "지우"
    assert CIPHER.is_stale(sealed)
    assert not CIPHER.is_stale(CIPHER.seal("지우", HERE))
    with pytest.raises(UnsealError, match="put it back"):
        before.open(CIPHER.seal("지우", HERE), HERE)


def test_a_text_under_another_keys_name_does_not_open() -> None:
    same = FieldCipher(KeyRing({"a": OLD, "b": OLD}, "a", INDEX))
    with pytest.raises(UnsealError):
        same.open(same.seal("지우", HERE).replace("s1.a.", "s1.b."), HERE)


def test_an_index_is_of_its_text_and_purpose_and_outlives_a_rotation() -> None:
    index = CIPHER.index("+821012345678", "phone")
    assert index == FieldCipher(KeyRing({"old": OLD}, "old", INDEX)).index("+821012345678", "phone")
    assert index != CIPHER.index("+821012345679", "phone")
    assert index != CIPHER.index("+821012345678", "email")
    assert CIPHER.index("b", "a") != CIPHER.index("", "ab")
    assert "8210" not in index


def test_a_ring_is_read_newest_first() -> None:
    ring = ring_of(f"k2:{coded(NEW)}, k1:{coded(OLD)}", coded(INDEX))
    assert ring == KeyRing({"k2": NEW, "k1": OLD}, "k2", INDEX)


@pytest.mark.parametrize(
    ("keys", "index", "said"),
    [
        ("", coded(INDEX), "Field key 1"),
        (f"k1:{coded(OLD)},", coded(INDEX), "Field key 2"),
        (f"k1:{coded(OLD)},k1:{coded(NEW)}", coded(INDEX), "Field key 2"),
        (f"K.1:{coded(OLD)}", coded(INDEX), "Field key 1"),
        (f"k1:{coded(OLD[:31])}", coded(INDEX), "32 random bytes"),
        ("k1:not base64", coded(INDEX), "32 random bytes"),
        (f"k1:{coded(OLD)}", "", "index key"),
    ],
)
def test_a_bad_ring_is_refused_without_saying_a_key(keys: str, index: str, said: str) -> None:
    with pytest.raises(KeyRingError, match=said) as refused:
        ring_of(keys, index)
    assert coded(OLD)[:20] not in str(refused.value)


def test_the_development_ring_is_of_its_key(tmp_path: Path) -> None:
    for name in ("a", "b"):
        create_dev_key(tmp_path / name)
    ring, other = dev_ring(tmp_path / "a"), dev_ring(tmp_path / "b")
    assert ring == dev_ring(tmp_path / "a")
    assert len({*ring.keys.values(), ring.index_key, *other.keys.values(), other.index_key}) == 4
    sealed = FieldCipher(ring, os.urandom).seal("지우", HERE)
    assert FieldCipher(dev_ring(tmp_path / "a")).open(sealed, HERE) == "지우"
