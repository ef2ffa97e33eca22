"""Looking for words in whatever is stored."""

from hypothesis import given
from hypothesis import strategies as st

from models.withdrawal.proof import holds, values_in

AROUND = st.text(alphabet=" .:{}|/\"'=,\n가나", max_size=5)
INSIDE = st.text(alphabet="ab1", min_size=1, max_size=3)


@given(AROUND, AROUND)
def test_a_word_is_found_wherever_it_stands_by_itself(before: str, after: str) -> None:
    assert holds(f"{before}u_1{after}".encode(), [b"u_1"])


@given(INSIDE, INSIDE)
def test_a_part_of_a_longer_word_is_anothers(before: str, after: str) -> None:
    assert not holds(f"{before}u_1".encode(), [b"u_1"])
    assert not holds(f"u_1{after}".encode(), [b"u_1"])
    assert holds(f"{before}u_1 u_1".encode(), [b"u_1"]), "the second one is"


def test_a_name_is_found_with_its_particle() -> None:
    assert holds("김지우는 오늘".encode(), ["김지우".encode()])
    assert not holds("김지호".encode(), ["김지우".encode()])
    assert not holds(b"", [b"u"])


@given(
    st.recursive(
        st.just("needle"),
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3)
            | st.dictionaries(st.text(max_size=3), inner, min_size=1, max_size=3)
        ),
        max_leaves=20,
    )
)
def test_every_value_of_a_document_is_seen(document: object) -> None:
    assert b"needle" in {value for _, value in values_in({"at": document})}


def test_keys_and_bytes_and_numbers_are_seen_too() -> None:
    document = {"u_1": {"n": 4711, "blob": b"\x00x", "none": None}}
    assert dict(values_in(document)) == {
        "u_1": b"u_1",
        "u_1.n": b"4711",
        "u_1.blob": b"\x00x",
        "u_1.none": b"none",
    }
