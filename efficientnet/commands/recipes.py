"""Reading recipes from the command line, with errors in one sentence."""

import contextlib
from collections.abc import Iterator, Sequence

from absl import flags
from ml_collections import ConfigDict, config_flags

from configs import common, recipe_file
from efficientnet.config import RunConfig
from efficientnet.errors import UserError


class RecipeParser(flags.ArgumentParser[ConfigDict]):
    """Runs the `get_config()` of a recipe; what is wrong is said with its line."""

    def parse(self, path: str) -> ConfigDict:
        """See `recipe_file.load`."""
        return recipe_file.load(path)


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
        known = recipe_file.user_error(error)
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
