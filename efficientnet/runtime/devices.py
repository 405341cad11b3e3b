"""Batches from the host's memory to all devices, ahead of their use."""

import collections
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

# While one batch is computed on, the next is copied.
AHEAD = 2


def data_mesh() -> Mesh:
    """Returns all devices of all processes on one axis, `data`."""
    return Mesh(np.asarray(jax.devices()), ("data",))


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of what every device holds whole, such as the state."""
    return NamedSharding(mesh, PartitionSpec())


def by_example(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of what is split along its first axis, such as a batch."""
    return NamedSharding(mesh, PartitionSpec("data"))


def to_devices(batches: Iterable[dict[str, np.ndarray]], mesh: Mesh) -> Iterator[dict[str, Any]]:
    """Yields each process's batches as global arrays split over the devices, `AHEAD` early."""
    sharding = by_example(mesh)

    def put(batch: dict[str, np.ndarray]) -> dict[str, Any]:
        return {
            key: jax.make_array_from_process_local_data(sharding, value)
            for key, value in batch.items()
        }

    arrays = map(put, batches)
    queue = collections.deque(itertools.islice(arrays, AHEAD))
    while queue:
        yield queue.popleft()
        queue.extend(itertools.islice(arrays, 1))
