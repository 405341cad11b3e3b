"""Recipes on the command lines of scripts that run no training themselves."""

from collections.abc import Sequence

from absl import flags
from ml_collections import ConfigDict, config_flags

from efficientnet.errors import UserError


def read(path: str, overrides: Sequence[str]) -> ConfigDict:
    """Reads a recipe as train.py's --config does.

    Args:
      path: of the recipe, with its arguments after a colon if it takes any.
      overrides: such as '--config.batch_size=64'.

    Raises:
      UserError: there is no such recipe, or an override doesn't fit it.
    """
    command = ["recipe", f"--config={path}", *overrides]
    values = flags.FlagValues()
    holder = config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=command)
    try:
        rest = values(command)
    except flags.Error as error:
        raise UserError(str(error).strip().splitlines()[-1]) from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{path} with {' '.join(overrides)} is no config, see configs/common.py: {reason}"
        ) from error
    if rest[1:]:
        raise UserError(f"{rest[1]} is no argument: see --help")
    if not isinstance(holder.value, ConfigDict):
        raise UserError(f"--config={path}: there is no such file")
    return holder.value
