"""The shapes of REST: bodies and queries that come in, views and pages that go out."""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from models.errors import AppError, ErrorCode

MOST = 200
"""Items of one page."""

Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:@-]+$")]
ChildId = Annotated[Id, Field(description="The child.", examples=["child-1"])]
Cursor = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[A-Za-z0-9_-]+$")]

T = TypeVar("T")


class Body(BaseModel):
    """A JSON body: camelCase, strict types, finite numbers, nothing unknown in it."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", allow_inf_nan=False, alias_generator=to_camel
    )


class Query(BaseModel):
    """The query of a URL: camelCase, nothing unknown, each name once unless it is a list."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, alias_generator=to_camel
    )


class View(BaseModel):
    """What an answer shows: camelCase on the wire, made from Python names or from a document."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        from_attributes=True,
    )


class PageQuery(Query):
    """Which part of a list is asked for."""

    limit: int = Field(default=20, ge=1, le=MOST, description="Most items of the answer.")
    cursor: Cursor | None = Field(
        default=None, description="`nextCursor` of the page before; nothing for the first page."
    )

    def after(self, place: TypeAdapter[T]) -> T | None:
        """Return the place the last page ended at, validated as `place`: None at the beginning.

        Raises:
            AppError: `invalid`; the cursor is not one that this list gave.
        """
        if self.cursor is None:
            return None
        try:
            padded = self.cursor + "=" * (-len(self.cursor) % 4)
            text = base64.b64decode(padded, altchars=b"-_", validate=True)
            return place.validate_json(text, strict=True)
        except (binascii.Error, ValidationError) as error:
            raise AppError(
                ErrorCode.INVALID,
                "query.cursor is not one of this list: take `nextCursor` as it came.",
            ) from error


class Page(View, Generic[T]):
    """A part of a list. An empty list is `[]`."""

    items: list[T]
    next_cursor: str | None = Field(
        default=None, description="Gives the next page as `cursor`; null at the end."
    )

    @classmethod
    def of(cls, items: Sequence[T], limit: int, place: Sequence[Any] | None) -> Self:
        """Return a page of `items`; a full one says how to go on.

        Args:
            limit: how many were asked for. One that is not reached is the last page.
            place: where the last item stands in the order of the list: what `after` gives back.
        """
        full = len(items) >= limit and place is not None
        return cls(items=list(items), next_cursor=cursor_of(place) if full and place else None)


def cursor_of(place: Sequence[Any]) -> str:
    """Return the cursor that leads to what comes after `place`.

    A cursor grants nothing: the list is asked for with the caller's own rights each time, and
    the place is validated when it comes back.
    """
    text = json.dumps(list(place), separators=(",", ":"), ensure_ascii=True)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
