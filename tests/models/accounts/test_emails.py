"""E-mail addresses: one canonical form, whatever way they are typed."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.accounts.emails import canonical_email
from models.errors import AppError, ErrorCode

LOCALS = st.from_regex(r"[A-Za-z0-9+_-]{1,20}(\.[A-Za-z0-9+_-]{1,20}){0,2}", fullmatch=True)
LABELS = st.one_of(
    st.from_regex(r"[a-z0-9]{1,12}", fullmatch=True),
    st.text(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3), min_size=1, max_size=6),
)
DOMAINS = st.builds(lambda label, end: f"{label}.{end}", LABELS, st.sampled_from(["com", "한국"]))


@given(LOCALS, DOMAINS, st.data())
def test_the_form_does_not_depend_on_how_it_is_typed(
    local: str, domain: str, data: st.DataObject
) -> None:
    canonical = canonical_email(f"{local}@{domain}")
    assert canonical_email(canonical) == canonical
    assert canonical.isascii()
    assert canonical == canonical.lower()
    form = data.draw(st.sampled_from(["NFC", "NFD"]))
    typed = unicodedata.normalize(form, f" {local.upper()}@{domain.upper()}  ")
    assert canonical_email(typed) == canonical


@given(st.text(max_size=60))
def test_anything_is_an_address_or_refused(text: str) -> None:
    try:
        canonical = canonical_email(text)
    except AppError as error:
        refused = error.code
    else:
        assert canonical_email(canonical) == canonical
        return
    assert refused is ErrorCode.INVALID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "a@",
        "@example.com",
        "a b@example.com",
        "a@example",
        "a@127.0.0.1",
        "a@[127.0.0.1]",
        ".a@example.com",
        "a..b@example.com",
        "a@example..com",
        "a@-example.com",
        "a@ex_ample.com",
        "a@example.com\n",
        "a@example.com\0",
        "a\r\nBcc: b@example.com",
        '"a b"@example.com',
        "а@example.com",  # a Cyrillic letter that looks like the Latin one
        "a\u200b@example.com",
        "=?utf-8?q?ceo?=@example.com",  # headers decode it into another address
        "=?utf-8?q?=0d=0ax?=@example.com",
        "민준@example.com",
        f"{'a' * 65}@example.com",
        f"a@{'b' * 64}.com",
        f"a@{'b.' * 130}com",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AppError) as refused:
        canonical_email(text)
    assert refused.value.code is ErrorCode.INVALID


def test_domains_that_only_look_alike_differ() -> None:
    latin, cyrillic = canonical_email("a@apple.com"), canonical_email("a@аррӏе.com")
    assert latin != cyrillic
    assert cyrillic.startswith("a@xn--")


def test_dots_and_tags_stay() -> None:
    assert canonical_email("a.b+tag@gmail.com") == "a.b+tag@gmail.com"
