"""Running a recipe's file, where what is wrong is said with its line."""

import re
import sys
import traceback
import types

from etils import epath
from ml_collections import ConfigDict

from configs.fields import RunFields, filled
from efficientnet.errors import UserError

# A path, perhaps in a bucket or on a drive of Windows, and what may follow it after a colon.
_PATH = re.compile(r"((?:\w+://|[A-Za-z]:[\\/])?[^:]*)(?::(.*))?", re.DOTALL)
HOW = "expected a recipe, see docs/tutorial.md"


def load(path: str) -> ConfigDict:
    """Returns what the `get_config()` of a recipe returns.

    Args:
      path: of the file, with any arguments after a colon.

    Raises:
      UserError: there is no such recipe, or it is wrong.
    """
    parts = _PATH.fullmatch(path)
    assert parts
    file, arguments = parts.groups()
    file = _found(file)
    if not epath.Path(file).is_file():
        raise UserError(f"--config={file}: {_missing(file)}")
    try:
        recipe = _run(file)
        if not hasattr(recipe, "get_config"):
            raise UserError(f"it has no function get_config(): {HOW}")
        config = recipe.get_config(*([] if arguments is None else [arguments]))
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


def _found(file: str) -> str:
    """Returns the path of a recipe; `configs/NAME.py` is the installed one outside a checkout."""
    path = epath.Path(file)
    installed = epath.Path(__file__).with_name(path.name)
    is_ours = str(path.parent) == installed.parent.name and not path.exists() and installed.exists()
    return str(installed) if is_ours else file


def _run(file: str) -> types.ModuleType:
    module = types.ModuleType("recipe")
    module.__file__ = file
    sys.modules[module.__name__] = module  # dataclasses look for it there
    exec(compile(epath.Path(file).read_bytes(), file, "exec"), module.__dict__)
    return module


def _missing(file: str) -> str:
    if file and epath.Path(file).is_dir():
        return f"that is a folder, {HOW}"
    if epath.Path(f"{file}.py").is_file():
        return f"there is no such file, did you mean {file}.py?"
    return f"there is no such file, {HOW}"


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
    known = user_error(error)
    if known is not None:
        return str(known)
    if isinstance(error, ImportError):
        return f"can't import a module ({error}): install it, or correct its name"
    return traceback.format_exception_only(error)[-1].strip()


def user_error(error: BaseException | None) -> UserError | None:
    """Returns the first `UserError` among an error and those it came from."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__ or error.__context__
    return error
