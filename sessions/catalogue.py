"""The motions ready to be scored, and the grading models, as one lookup."""

from dataclasses import dataclass
from functools import cache

from models.catalog.library import motion_library
from models.catalog.records import MotionDefinition, PoseSignal
from models.grading.library import grading_models
from models.grading.records import GradingModel
from sessions.motions import compile_motion
from sessions.scoring.plan import Motion


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of a motion: its definition, its arrays, the model that grades it now."""

    definition: MotionDefinition
    compiled: Motion
    """As world landmarks show it."""
    image: Motion
    """As image landmarks show it."""
    model: GradingModel
    shadow: tuple[GradingModel, ...]
    """Models that grade beside it, for comparison only."""


class Catalogue:
    """All versions of all motions and models. Compiled motions are kept once made."""

    def __init__(self) -> None:
        self._library = motion_library()
        self._models = grading_models()
        self._entries: dict[tuple[str, int], Entry] = {}

    @property
    def motions(self) -> list[str]:
        """Ids of the motions that can be played."""
        return sorted(self._library.latest)

    def motion(self, motion_id: str, version: int | None = None) -> Entry | None:
        """Return a motion, the newest version unless one is named; None when it is unknown."""
        try:
            definition = self._library.get(motion_id, version)
        except KeyError:
            return None
        key = (definition.id, definition.version)
        entry = self._entries.get(key)
        if entry is None:
            world = compile_motion(definition)
            posed = isinstance(definition.signal, PoseSignal)
            entry = self._entries[key] = Entry(
                definition,
                world,
                compile_motion(definition, "image") if posed else world,
                self._models.standard(definition.id),
                self._models.shadow(definition.id),
            )
        return entry

    def model(self, model_id: str, version: int) -> GradingModel | None:
        """Return a grading model as it was; None when it is unknown."""
        try:
            return self._models.get(model_id, version)
        except KeyError:
            return None

    def warm(self) -> None:
        """Compile every motion now, so that no child waits for it."""
        for motion_id in self.motions:
            self.motion(motion_id)


@cache
def catalogue() -> Catalogue:
    """Return the catalogue of this process; data files are read once."""
    return Catalogue()
