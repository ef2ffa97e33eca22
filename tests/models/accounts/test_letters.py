"""What accounts are written: times are told as the reader's clock shows them."""

from datetime import UTC, datetime

import pytest

from models.accounts.letters import cut_mail, leaving_mail
from models.accounts.records import Provider

ERASE_AT = datetime(2026, 7, 1, 20, 30, tzinfo=UTC)


@pytest.mark.parametrize("locale", ["ko", "en"])
@pytest.mark.parametrize(
    ("zone", "wall"),
    [
        ("Asia/Seoul", "2026-07-02 05:30 (Asia/Seoul)"),
        ("America/New_York", "2026-07-01 16:30 (America/New_York)"),
    ],
)
def test_the_day_of_erasure_is_the_readers(locale: str, zone: str, wall: str) -> None:
    asked = leaving_mail("jiu@example.com", locale, ERASE_AT, zone)
    cut = cut_mail("jiu@example.com", locale, Provider.KAKAO, ERASE_AT, zone)
    assert wall in asked.text
    assert wall in cut.text
    assert "UTC" not in asked.text + cut.text
