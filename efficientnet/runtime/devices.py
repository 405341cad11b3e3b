"""All devices as one: programs compiled for them, and batches copied to them ahead of use."""

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
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


def place(tree: Any, mesh: Mesh) -> Any:
    """Returns a copy of a tree of arrays, of which every device holds all of it.

    It is never an alias, because a training step gives the memory of its input to its output.
    """
    # From the host: what JAX 0.10.2 makes of a process's own array can't be saved if the process
    # has a single device among others.
    return jax.device_put(jax.tree.map(np.asarray, tree), replicated(mesh), may_alias=False)


def jit(
    function: Callable[..., Any], mesh: Mesh, *, deterministic: bool = True, **options: Any
) -> jax.stages.Wrapped:
    """Returns `jax.jit` of a function for a mesh, whose results every device holds whole.

    Args:
      function: to compile.
      mesh: the devices.
      deterministic: see `compiler_options`.
      **options: further arguments of `jax.jit`.
    """
    return jax.jit(
        function,
        out_shardings=replicated(mesh),
        compiler_options=compiler_options(mesh.devices.flat[0].platform, deterministic),
        **options,
    )


def compiler_options(platform: str, deterministic: bool) -> dict[str, Any]:
    """Returns what XLA is asked for on a platform, JAX's 'cpu', 'gpu' or 'tpu'.

    Args:
      platform: of the devices.
      deterministic: whether a GPU should compute the same bits in each run, also after it has
        compiled a program again. CPUs and TPUs always do.
    """
    if platform == "cpu":
        # XLA takes vectors of 256 bits even on CPUs that have 512; other CPUs ignore the option.
        return {"xla_cpu_prefer_vector_width": 512}
    if platform == "gpu" and deterministic:
        # XLA leaves out what sums in a random order, and takes the first algorithm instead of the
        # fastest of a trial. First in cuDNN's and cuBLAS's lists is what they think is fastest;
        # Triton's kernels for products are in no such order.
        return {"xla_gpu_exclude_nondeterministic_ops": True, "xla_gpu_enable_triton_gemm": False}
    return {}


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
