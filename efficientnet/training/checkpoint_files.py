"""Orbax's folders of checkpoints: each checkpoint has the checksums of its content beside it.

Checksums of arrays, to know that what comes back from a disk is what went there.
"""

import contextlib
import json
import logging
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from efficientnet.errors import UserError
from efficientnet.paths import TENSORSTORE_CODES, unreachable
from efficientnet.records import Progress, from_json, to_json

# One device writes an array. Orbax would have all that hold it write a part each, for which JAX
# compiles a program for every shape and part, in the first save of each start.
logging.getLogger("absl").disabled = True  # Orbax warns of every handler that is replaced
ocp.type_handlers.register_type_handler(
    jax.Array, ocp.type_handlers.ArrayHandler(use_replica_parallel=False), override=True
)
logging.getLogger("absl").disabled = False


class DamagedError(Exception):
    """A checkpoint is not what was saved; the message says why."""


def latest_manager(folder: epath.Path, keep: int | None = None) -> ocp.CheckpointManager:
    """Opens the checkpoints of a run's state, of which the latest `keep` stay; None only reads."""
    return _manager(folder / "latest", keep, "state", "progress", "checksums")


def best_manager(folder: epath.Path, stage: str, keep: int | None = None) -> ocp.CheckpointManager:
    """The same of a stage's best variables."""
    return _manager(folder / "best" / stage, keep, "variables", "checksums")


def _manager(
    folder: epath.Path, keep: int | None, arrays: str, *texts: str
) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(max_to_keep=keep)
    if keep is None:  # Orbax's `read_only` would warn that it is
        options = ocp.CheckpointManagerOptions(create=False, save_root_metadata=False)
    handlers: dict[str, ocp.CheckpointHandler] = {arrays: ocp.StandardCheckpointHandler()}
    handlers |= {text: ocp.JsonCheckpointHandler() for text in texts}
    return ocp.CheckpointManager(folder, options=options, item_handlers=handlers)


def save(
    manager: ocp.CheckpointManager,
    step: int,
    item: str,
    tree: Any,
    progress: Progress | None = None,
) -> None:
    """Begins to save a run's 'state' with the host's progress, or a stage's best 'variables'."""
    sums, items = of_tree(tree), {item: ocp.args.StandardSave(tree)}
    if progress is not None:
        content = to_json(progress)
        sums["progress"] = of_json(content)
        items["progress"] = ocp.args.JsonSave(content)
    args = ocp.args.Composite(checksums=ocp.args.JsonSave(sums), **items)
    if not manager.save(step, args=args):
        raise RuntimeError(f"Orbax has not saved step {step} in {manager.directory}")


def read_progress(manager: ocp.CheckpointManager, step: int) -> tuple[Progress, dict[str, int]]:
    """Returns a checkpoint's progress, and the checksums of its arrays; or `DamagedError`."""
    content = _read_json(manager, step, "progress")
    sums = _read_json(manager, step, "checksums")
    if sums.pop("progress", None) != of_json(content):
        raise DamagedError("the checksum of its progress is wrong")
    try:
        return from_json(Progress, content), sums
    except (TypeError, ValueError) as error:
        raise DamagedError(f"its progress is of another version ({error})") from error


def read_variables(manager: ocp.CheckpointManager, step: int | None = None) -> Any:
    """Returns the variables saved at a step, by default the latest, as `read_tree` does."""
    step = manager.latest_step() if step is None else step
    if step is None or step not in manager.all_steps():
        raise DamagedError("it is missing")
    return read_tree(manager, step, "variables", _read_json(manager, step, "checksums"))


def _read_json(manager: ocp.CheckpointManager, step: int, item: str) -> dict[str, Any]:
    with _reading(manager, step, item):
        content = manager.restore(step, args=ocp.args.Composite(**{item: ocp.args.JsonRestore()}))
        return dict(content[item])


def read_tree(manager: ocp.CheckpointManager, step: int, item: str, sums: Mapping[str, int]) -> Any:
    """Returns an item with these checksums as nested dicts of numpy arrays; or `DamagedError`."""
    with _reading(manager, step, item):
        metadata = manager.item_metadata(step)[item]
        like = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), metadata.tree)
        args = ocp.args.Composite(**{item: ocp.args.StandardRestore(like)})
        tree = manager.restore(step, args=args)[item]
        wrong = difference(sums, of_tree(tree))
    if wrong:
        raise DamagedError(wrong)
    return tree


@contextlib.contextmanager
def _reading(manager: ocp.CheckpointManager, step: int, item: str) -> Iterator[None]:
    """Whatever a damaged file leads its reader into is a `DamagedError`.

    Raises:
      UserError: it could not be read, but may well be whole.
    """
    try:
        yield
    except Exception as error:
        said = _first_line(error)
        if _is_of_the_way(error):
            raise UserError(
                f"{manager.directory / str(step)} can't be read now ({said}): nothing is changed; "
                "start the same command again when that is mended"
            ) from error
        raise DamagedError(f"its {item} can't be read ({said})") from error


def _is_of_the_way(error: Exception) -> bool:
    """Whether an error tells of the way to a file, not of what is there."""
    if isinstance(error, FileNotFoundError):  # so `unreachable` says of an object, too
        return False
    return (
        isinstance(error, MemoryError | PermissionError | jax.errors.JaxRuntimeError)
        or unreachable(error) is not None
        or TENSORSTORE_CODES.match(str(error)) is not None
    )


def placed(tree: Any, like: Any, name: str) -> Any:
    """Returns the arrays of a tree of plain dicts in the structure and shardings of `like`.

    Raises:
      UserError: they don't fit; says so of `name`.
    """
    leaves, structure = jax.tree.flatten(like)
    order = named_leaves(jax.tree.unflatten(structure, range(len(leaves))))
    found = named_leaves(tree)
    for leaf in sorted({*order, *found}):
        target = leaves[order[leaf]] if leaf in order else None
        if _kind(found.get(leaf)) != _kind(target):
            raise UserError(
                f"{name}: of another network or optimizer, as {leaf} was "
                f"{_kind(found.get(leaf))} and now is {_kind(target)}: resume it with the version "
                "of this program that saved it, or take a new --workdir"
            )
    on_devices = {
        # As in devices.place: from the host, and never an alias.
        index: jax.device_put(np.asarray(found[leaf]), leaves[index].sharding, may_alias=False)
        for leaf, index in order.items()
    }
    return jax.tree.unflatten(structure, [on_devices[index] for index in range(len(leaves))])


def _kind(leaf: Any) -> str:
    return "missing" if leaf is None else f"{leaf.dtype}{list(leaf.shape)}"


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:120]}"


def named_leaves(tree: Any) -> dict[str, Any]:
    """Returns the leaves of a tree by name.

    A tree of dataclasses and named tuples has the same names as the dicts it is restored to.
    """
    plain = ocp.tree.serialize_tree(tree, keep_empty_nodes=True)
    leaves = jax.tree_util.tree_leaves_with_path(plain)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def of_tree(tree: Any) -> dict[str, int]:
    """Returns the CRC-32 of each leaf's bytes, shape and type by its name."""
    return {name: _crc(leaf) for name, leaf in named_leaves(tree).items()}


def of_json(content: Any) -> int:
    """Returns the CRC-32 of a JSON value, however it is written."""
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())


def difference(saved: Mapping[str, int], found: Mapping[str, int]) -> str:
    """Says in a few words in which leaves two sets of checksums differ; '' if in none."""
    names = sorted(name for name in {*saved, *found} if saved.get(name) != found.get(name))
    if not names:
        return ""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"the checksum of {names[0]}{more} is wrong"


def _crc(leaf: Any) -> int:
    array = np.ascontiguousarray(leaf)
    kind = f"{array.dtype}{array.shape}".encode()
    return zlib.crc32(array.reshape(-1).view(np.uint8).data, zlib.crc32(kind))
