"""Settings that make no sense together are refused at the start."""

import pytest
from pydantic import ValidationError

from config.settings import load_settings


@pytest.mark.parametrize(("up", "down"), [(0.5, 0.5), (0.4, 0.6)])
def test_a_week_that_says_up_cannot_say_down(up: float, down: float) -> None:
    grade = load_settings().grade
    with pytest.raises(ValidationError, match="down must be less than up"):
        type(grade).model_validate({**grade.model_dump(), "up": up, "down": down})
