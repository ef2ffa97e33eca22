"""What guardians are asked to agree to: one document a purpose and version, in two languages."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from models.children.records import Consent, Locale

FOLDER: Final = Path(__file__).with_name("documents")
Text = Annotated[str, Field(min_length=1)]


class ConsentDocument(BaseModel):
    """One version of what is agreed to; file `documents/<purpose>-<version>.json`.

    A version is never changed: what somebody agreed to can be read for ever.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    purpose: Consent
    version: int = Field(ge=1)
    title: Mapping[Locale, Text]
    text: Mapping[Locale, Text]


@functools.cache
def documents() -> Mapping[Consent, tuple[ConsentDocument, ...]]:
    """Return every version of every document, the oldest first.

    Raises:
        ValueError: a file is not such a document, a version is missing, or a purpose has none.
    """
    found: dict[Consent, list[ConsentDocument]] = {purpose: [] for purpose in Consent}
    for path in FOLDER.glob("*.json"):
        one = ConsentDocument.model_validate_json(path.read_bytes())
        if path.stem != f"{one.purpose}-{one.version}" or {*one.title} != {*one.text} != {
            "ko",
            "en",
        }:
            raise ValueError(f"{path.name} is not what its name says, or lacks a language")
        found[one.purpose].append(one)
    for purpose, versions in found.items():
        versions.sort(key=lambda one: one.version)
        if [one.version for one in versions] != list(range(1, len(versions) + 1)) or not versions:
            raise ValueError(f"the documents of {purpose} are not numbered 1, 2, 3, …")
    return {purpose: tuple(versions) for purpose, versions in found.items()}


@dataclass(frozen=True, slots=True)
class ConsentRow:
    """One time a consent was given or withdrawn. Document of `consents`, never changed."""

    child_id: str
    purpose: Consent
    n: int
    """1, 2, 3, … for each child and purpose."""
    given: bool
    version: int
    locale: Locale
    """In which language the document was shown."""
    by: str
    at: datetime
