"""Reading recipes from the command line, with errors in one sentence."""

import contextlib
import importlib.machinery
import importlib.util
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags
from etils import epath
from ml_collections import ConfigDict, config_flags

from configs import common
from configs.fields import RunFields, filled
from efficientnet.config import RunConfig
from efficientnet.errors import UserError

HOW = "expected a recipe, see docs/tutorial.md"


class RecipeParser(flags.ArgumentParser[ConfigDict]):
    """Runs the `get_config()` of a recipe; what is wrong is said with its line."""

    def parse(self, path: str) -> ConfigDict:
        """Returns the config of a recipe, given its path with any arguments after a colon.

        Raises:
          UserError: there is no such recipe, or it is wrong.
        """
        file, colon, arguments = path.partition(":")
        if not epath.Path(file).is_file():
            raise UserError(f"--config={file}: {_missing(file)}")
        try:
            recipe = _run(file)
            if not hasattr(recipe, "get_config"):
                raise UserError(f"it has no function get_config(): {HOW}")
            config = recipe.get_config(*([arguments] if colon else []))
            if type(config) is ConfigDict:
                config = filled(RunFields, **config)
            if config is None:
                raise UserError("get_config() returns nothing: end it with `return config`")
            if not isinstance(config, ConfigDict):
                raise UserError(
                    f"get_config() returns a {type(config).__name__}: expected the config that "
                    "common.get_config() returned"
                )
        except Exception as error:
            raise UserError(f"{_place(error, file)}: {_reason(error)}") from error
        return config.lock()


def _missing(file: str) -> str:
    if file and epath.Path(file).is_dir():
        return f"that is a folder, {HOW}"
    if epath.Path(f"{file}.py").is_file():
        return f"there is no such file, did you mean {file}.py?"
    return f"there is no such file, {HOW}"


def _run(file: str) -> Any:
    loader = importlib.machinery.SourceFileLoader("config_config", file)
    module = importlib.util.module_from_spec(
        importlib.machinery.ModuleSpec(loader.name, loader, origin=file)
    )
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


def _place(error: Exception, file: str) -> str:
    """Returns the recipe's name, and its line that an error came from, if there is one."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == file
    ]
    return f"{file}, line {lines[-1]}" if lines else file


def _reason(error: Exception) -> str:
    known = _user_error(error)
    if known is not None:
        return str(known)
    if isinstance(error, ImportError):
        return f"can't import a module ({error}): install it, or correct its name"
    return traceback.format_exception_only(error)[-1].strip()


def _user_error(error: BaseException | None) -> UserError | None:
    """Returns the first `UserError` among an error and those it came from."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__ or error.__context__
    return error


def define(flag_values: flags.FlagValues = flags.FLAGS, argv: list[str] | None = None) -> None:
    """Defines --config, and with it the flags --config.FIELD of those in `argv`.

    Args:
      flag_values: to define it in.
      argv: the command line, by default that of the process.
    """
    config_flags.DEFINE_config_file(
        "config", None, "The recipe, a file in configs/.", flag_values, sys_argv=argv
    )
    flag_values["config"].parser = RecipeParser()


@contextlib.contextmanager
def explained(words: Sequence[str]) -> Iterator[None]:
    """Turns errors in a recipe, or in the flags that override its fields, into a `UserError`.

    Args:
      words: of the command line.

    Raises:
      UserError: in place of the errors of absl and ml_collections.
    """
    wrong = " ".join(words)
    try:
        yield
    except Exception as error:
        known = _user_error(error)
        if known is not None:
            raise known from None
        match error:
            case flags.Error():
                raise UserError(str(error).strip().splitlines()[-1]) from error
            case IndexError():
                raise UserError(f"{wrong}: the config has fewer stages") from error
            case AttributeError() | KeyError() | TypeError() | ValueError():
                raise UserError(f"{wrong}: {error}") from error
        raise


def read(path: str, overrides: Sequence[str]) -> RunConfig:
    """Reads a recipe as train.py's --config does.

    Args:
      path: of the recipe, with its arguments after a colon if it takes any.
      overrides: such as '--config.batch_size=64'.

    Raises:
      UserError: there is no such recipe, it can't be read, or it has a wrong value.
    """
    command = ["recipe", f"--config={path}", *overrides]
    values = flags.FlagValues()
    define(values, command)
    with explained(command[1:]):
        rest = values(command)
    if rest[1:]:
        raise UserError(f"{rest[1]} is an unknown argument: see --help")
    return common.parse(values["config"].value)
