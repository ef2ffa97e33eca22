"""Which language an Accept-Language header asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.languages import Language, preferred


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("ko", "ko"),
        ("KO-kr", "ko"),
        ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", "ko"),
        ("en-US,en;q=0.9,ko;q=0.8", "en"),
        ("en;q=0.2, ko;q=0.3", "ko"),
        ("en;q=0.3, ko;q=0.2", "en"),
        ("ko, en", "ko"),
        ("en, ko", "en"),
        ("ko;q=0", "en"),
        ("ko;q=0, *", "en"),
        ("en;q=0, *", "ko"),
        ("en;q=0", "en"),
        ("*", "en"),
        ("*;q=0.1, ko", "ko"),
        ("*, ko;q=0.5", "en"),
        ("fr, de;q=0.9", "en"),
        ("fr, ko;q=0.1", "ko"),
        ("kok", "en"),
        ("ko;q=1.5", "en"),
        ("ko;q=abc, en;q=0.1", "en"),
        (";;;,,=ko", "en"),
        (" ko ; Q = 0.5 ", "ko"),
    ],
)
def test_the_weights_decide(header: str | None, language: str) -> None:
    assert preferred(header) == language


@given(st.text(max_size=300))
def test_no_header_is_too_strange(header: str) -> None:
    assert preferred(header) in Language
