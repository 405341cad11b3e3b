"""Checksums of arrays, to know that what comes back from a disk is what went there."""

import json
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp


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
