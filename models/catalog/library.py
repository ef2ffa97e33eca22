"""The motions the product knows, read from the data files beside this module."""

from functools import cache
from importlib import resources

from pydantic import ValidationError

from models.catalog.records import Library, MotionDefinition


@cache
def motion_library() -> Library:
    """Return the library of motions, read and validated once.

    Raises ValueError naming the file and every fault in it.
    """
    folder = resources.files(__package__) / "motions"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".json")), key=lambda f: f.name)
    return Library([parse_motion(file.name, file.read_bytes()) for file in files])


def parse_motion(name: str, text: bytes) -> MotionDefinition:
    """Return the motion written in a data file; `name` only serves the error message."""
    try:
        return MotionDefinition.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(f"{name}: {error}") from error
