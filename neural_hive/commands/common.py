"""Options that many commands share: a command takes them as one value, and says each of them to nobody again."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from neural_hive.commands.shown import AsJson, By, Config, Data
from neural_hive.settings import Settings, load_settings


class Common(msgspec.Struct, frozen=True):
    """Options of a command that shows something."""

    as_json: AsJson = False
    data: Data = None
    config: Config = None

    def settings(self) -> Settings:
        """Of the system that runs. Raises BadSettings: nothing runs."""
        return load_settings(self.config, data=self.data)

    @property
    def place(self) -> tuple[Path | None, Path | None]:
        """Where the settings are: what `tables_of` takes."""
        return self.data, self.config


class Asking(Common, frozen=True):
    """Options of a command that asks for something."""

    by: By = ""


def shared(command: Callable[..., None]) -> Callable[..., None]:
    """The command as Typer takes it: in the place of its first parameter stand the options of that one's type."""
    first, *own = inspect.signature(command, eval_str=True).parameters.values()
    kind: type[Common] = first.annotation
    hints = get_type_hints(kind, include_extras=True)
    options = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in msgspec.structs.fields(kind)
    ]

    @wraps(command)
    def told(**given: Any) -> None:
        common = kind(**{option.name: given.pop(option.name) for option in options})
        command(common, **given)

    parameters = [*own, *options]
    told.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    told.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return told
