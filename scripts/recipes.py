"""Reading recipes from the command line, with errors in one sentence."""

import contextlib
from collections.abc import Iterator, Sequence

from absl import flags
from ml_collections import ConfigDict, config_flags

from configs import common
from efficientnet.config import RunConfig
from efficientnet.errors import UserError


@contextlib.contextmanager
def explained(words: Sequence[str]) -> Iterator[None]:
    """Turns errors in a recipe, or in the flags that override its fields, into a `UserError`.

    Args:
      words: of the command line.

    Raises:
      UserError: in place of the errors of absl, ml_collections and the recipe itself.
    """
    wrong = " ".join(words)
    try:
        yield
    except flags.Error as error:
        # The message contains the traceback of the recipe; its last line gives the reason.
        raise UserError(str(error).strip().splitlines()[-1]) from error
    except ImportError as error:
        raise UserError(
            f"{wrong}: the recipe can't import a module ({error}): install it, or correct its name"
        ) from error
    except AttributeError as error:
        field = str(error).strip("'\"")
        raise UserError(f"{wrong}: no such field {field!r}, see efficientnet/config.py") from error
    except IndexError as error:
        raise UserError(f"{wrong}: the config has fewer stages") from error
    except OSError as error:
        raise UserError(f"{wrong}: there is no such file") from error
    except (KeyError, SyntaxError, TypeError, ValueError) as error:
        raise UserError(f"{wrong}: {error}") from error


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
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=command)
    with explained(command[1:]):
        rest = values(command)
    if rest[1:]:
        raise UserError(f"{rest[1]} is an unknown argument: see --help")
    return run_config(values["config"])


def run_config(flag: flags.Flag[ConfigDict]) -> RunConfig:
    """Returns the config of a --config flag, with the flags that override its fields.

    Raises:
      UserError: there is no such recipe, or it has a wrong value.
    """
    if not isinstance(flag.value, ConfigDict):
        path = config_flags.get_config_filename(flag)
        raise UserError(f"--config={path}: there is no such file")
    return common.parse(flag.value)
