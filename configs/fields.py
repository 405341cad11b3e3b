"""A recipe's fields, where a wrong name or value is an error at its line."""

import dataclasses
import difflib
import functools
import operator
import typing
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar, Union

from absl import flags
from ml_collections import ConfigDict, FieldReference, config_dict, config_flags

from efficientnet.config import Config, DataConfig, RunConfig, StageConfig, converted, hints
from efficientnet.errors import UserError

# How a recipe writes the fields of each kind.
PLACES: dict[type[Config], str] = {
    RunConfig: "config.{}",
    DataConfig: "config.data.{}",
    StageConfig: "common.stage(..., {}=...)",
}
FIELDS = (Mapping, ConfigDict)
AS_STAGES = "stages between commas, in brackets: (common.stage(...), common.stage(...),)"


class NoSuchFieldError(UserError, KeyError):
    """A name that is no field, in words that say where it belongs or which it resembles."""

    __str__ = UserError.__str__

    def __init__(self, kind: type[Config], name: object) -> None:
        places = {
            field.name: place.format(field.name)
            for other, place in PLACES.items()
            for field in dataclasses.fields(other)
        }
        own = [field.name for field in dataclasses.fields(kind)]
        close = difflib.get_close_matches(str(name), own, 1) or difflib.get_close_matches(
            str(name), places, 1
        )
        if name in places:
            advice = f"it belongs elsewhere, write {places[str(name)]}"
        elif close:
            advice = f"did you mean {places[close[0]]}?"
        else:
            advice = "see efficientnet/config.py"
        super().__init__(f"{PLACES[kind].format(name)}: there is no such field, {advice}")


class NumberOrWord(flags.ArgumentParser[Any]):
    """Parses the flag of a field that is a number or a certain word, which is checked later."""

    def parse(self, argument: Any) -> Any:
        """Returns the number, or else the argument."""
        try:
            return float(argument)
        except ValueError:
            return argument


config_flags.register_flag_parser_for_type(NumberOrWord, NumberOrWord())


class Fields(ConfigDict):  # type: ignore[misc]
    """The fields of a `Config`, which converts and checks what they are set to once locked."""

    config: ClassVar[type[Config]]

    def __getitem__(self, key: str) -> Any:
        if key not in self:
            raise NoSuchFieldError(self.config, key)
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: Any) -> None:
        if self.is_locked and key not in self:
            raise NoSuchFieldError(self.config, key)
        if self.is_locked and not isinstance(value, FieldReference):
            try:
                value = self._converted(key, value)
            except UserError:
                raise
            except ValueError as error:
                raise self.config.wrong_value(key, value, error, self.get("name")) from None
        super().__setitem__(key, value)

    def get_type(self, key: str) -> Any:
        """Returns the type by which `config_flags` chooses how to parse the flag of a field."""
        hint = hints(self.config).get(key)
        words = [each for each in typing.get_args(hint) if typing.get_origin(each) is Literal]
        return NumberOrWord if typing.get_origin(hint) is Union and words else super().get_type(key)

    def _converted(self, key: str, value: Any) -> Any:
        return converted(value, hints(self.config)[key])


FieldsT = TypeVar("FieldsT", bound=Fields)


class StageFields(Fields):
    """Of one stage."""

    config = StageConfig


class DataFields(Fields):
    """Of the data."""

    config = DataConfig


class RunFields(Fields):
    """Of a whole run."""

    config = RunConfig

    def _converted(self, key: str, value: Any) -> Any:
        if key == "data":
            if not isinstance(value, FIELDS):
                raise ValueError("fields, such as config.data.source and config.data.directory")
            return filled(DataFields, **value)
        if key == "stages":
            if isinstance(value, FIELDS):
                seen = "a single stage" if "train" in value else "a dict"
                raise UserError(f"config.stages is {seen}: expected {AS_STAGES}")
            if not isinstance(value, list | tuple):
                raise ValueError(AS_STAGES)
            return tuple(_stage(number, item) for number, item in enumerate(value))
        return super()._converted(key, value)


def _stage(number: int, item: Any) -> Fields:
    if isinstance(item, StageFields):
        return item
    if isinstance(item, FIELDS):
        return filled(StageFields, **item)
    several = isinstance(item, list | tuple) and len(item) > 1
    seen = "several stages, which a * before them unpacks" if several else f"{item!r:.60}"
    raise UserError(f"config.stages[{number}] is {seen}: expected {AS_STAGES}")


def filled(kind: type[FieldsT], **given: Any) -> FieldsT:
    """Returns locked fields with the given values, or else with their defaults.

    Raises:
      UserError: a value is wrong or missing, or there is no such field.
    """
    fields = kind(type_safe=False)  # `__setitem__` checks by the declared types
    for field in dataclasses.fields(kind.config):
        if field.default_factory is not dataclasses.MISSING:
            fields[field.name] = filled(DataFields)
        elif field.default is None:
            fields[field.name] = config_dict.placeholder(_type_of(hints(kind.config)[field.name]))
        elif field.default is not dataclasses.MISSING:
            fields[field.name] = field.default
        elif field.name in given:
            fields[field.name] = given[field.name]
        else:
            raise UserError(f"a stage of config.stages has no {field.name!r}: expected {AS_STAGES}")
    fields.lock()
    for name, value in given.items():
        fields[name] = value
    return fields


def leave_open(config: ConfigDict, names: Sequence[str]) -> None:
    """Sets fields of a recipe to None, such as 'batch_size' or 'data.cache', to be decided later.

    They can still be set, also from the command line.
    """
    for name in names:
        *parents, field = name.split(".")
        fields = functools.reduce(operator.getitem, parents, config)
        fields[field] = config_dict.placeholder(_type_of(hints(fields.config)[field]))


def _type_of(hint: Any) -> Any:
    """Returns the type of a field that may be None."""
    while typing.get_args(hint):
        hint = typing.get_args(hint)[0]
    return hint if isinstance(hint, type) else type(hint)
