"""The grading models the product knows, read from the data files beside this module."""

from collections.abc import Mapping
from functools import cache
from importlib import resources

from pydantic import ValidationError

from models.grading.records import GradingModel


class Models:
    """All known versions of all grading models."""

    def __init__(self, models: list[GradingModel]) -> None:
        """Index the models. Raises ValueError when a version is given twice."""
        self._versions: dict[tuple[str, int], GradingModel] = {}
        self._latest: dict[str, GradingModel] = {}
        for model in sorted(models, key=lambda m: (m.id, m.version)):
            key = (model.id, model.version)
            if key in self._versions:
                raise ValueError(f"grading model {model.id} version {model.version} twice")
            self._versions[key] = self._latest[model.id] = model

    def get(self, model_id: str, version: int | None = None) -> GradingModel:
        """Return a model, the newest version unless one is named. Raises KeyError."""
        if version is None:
            return self._latest[model_id]
        return self._versions[model_id, version]

    @property
    def latest(self) -> Mapping[str, GradingModel]:
        """The newest version of every model, by id."""
        return self._latest

    def shadow(self, motion_id: str) -> tuple[GradingModel, ...]:
        """Return the newest versions of a motion's other models, by id."""
        return tuple(
            model
            for name, model in sorted(self._latest.items())
            if model.motion == motion_id and name != f"{motion_id}-standard"
        )

    def standard(self, motion_id: str) -> GradingModel:
        """Return the newest standard model of a motion. Raises KeyError."""
        return self._latest[f"{motion_id}-standard"]


@cache
def grading_models() -> Models:
    """Return the models, read and validated once.

    Raises ValueError naming the file and every fault in it.
    """
    folders = [resources.files(__package__) / name for name in ("standard", "shadow")]
    found = (file for folder in folders for file in folder.iterdir())
    files = sorted((f for f in found if f.name.endswith(".json")), key=lambda f: f.name)
    return Models([parse_model(file.name, file.read_bytes()) for file in files])


def parse_model(name: str, text: bytes) -> GradingModel:
    """Return the model written in a data file; `name` only serves the error message."""
    try:
        return GradingModel.model_validate_json(text)
    except ValidationError as error:
        raise ValueError(f"{name}: {error}") from error
