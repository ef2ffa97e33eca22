"""Which of the two languages a client would rather read (RFC 9110, section 12.5.4)."""

import re
from enum import StrEnum

_RANGE = re.compile(
    r"\s*(\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*[qQ]\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?"
)
_MOST = 32
"""Ranges that are looked at; nobody reads more languages."""


class Language(StrEnum):
    """Languages the product speaks."""

    KO = "ko"
    EN = "en"


def preferred(accepted: str | None) -> Language:
    """Return the language an `Accept-Language` header asks for; English when it asks for neither.

    A range names a language by its first part, whatever the region. Of two wanted alike the first
    one wins. What is not a range is passed over.
    """
    weights: dict[Language, float] = {}
    rest = 0.0
    for part in (accepted or "").split(",")[:_MOST]:
        found = _RANGE.fullmatch(part)
        if found is None:
            continue
        weight = float(found[2] or 1)
        tag = found[1].partition("-")[0].lower()
        if tag == "*":
            rest = weight
        elif tag in tuple(Language):
            language = Language(tag)
            weights[language] = max(weights.get(language, 0.0), weight)
    order = [*weights, *(x for x in (Language.EN, Language.KO) if x not in weights)]
    best = max(order, key=lambda x: weights.get(x, rest))
    return best if weights.get(best, rest) > 0 else Language.EN
