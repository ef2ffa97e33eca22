"""Why a grade is what it is, in the fixed sentences a guardian reads."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Final

from pydantic import BaseModel, ConfigDict, TypeAdapter

SENTENCES: Final = 2
"""So many of the largest losses are told."""
WORTH_TELLING: Final = 1.0
"""Losses below, in points of the grade, are not."""


class Phrase(BaseModel):
    """One sentence in the two languages of the product."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    ko: str
    en: str


@cache
def phrases() -> Mapping[str, Phrase]:
    """Return the sentences by indicator or reason, read once."""
    text = (resources.files(__package__) / "phrases.json").read_bytes()
    return TypeAdapter(dict[str, Phrase]).validate_json(text)


def explain(reason: str | None, lost: Sequence[tuple[str, float]]) -> Mapping[str, tuple[str, ...]]:
    """Return the sentences by language: the reason of a null grade, or the two largest losses.

    `lost` are (indicator, points of the grade lost); equal losses keep their order.
    """
    if reason is not None:
        told = [reason]
    else:
        largest = sorted(lost, key=lambda item: -item[1])[:SENTENCES]
        told = [key for key, points in largest if points >= WORTH_TELLING] or ["nothing_lost"]
    said = [phrases()[key] for key in told]
    return {"ko": tuple(p.ko for p in said), "en": tuple(p.en for p in said)}
