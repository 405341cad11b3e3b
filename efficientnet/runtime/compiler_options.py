"""Options for XLA that depend on the processor."""

from jax.sharding import Mesh


def compiler_options(mesh: Mesh) -> dict[str, int]:
    """Returns the `compiler_options` of `jax.jit` for programs on a mesh's devices.

    On a CPU, XLA uses vectors of 256 bits even if the processor has 512. On processors without
    them, the option has no effect.
    """
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    return {"xla_cpu_prefer_vector_width": 512} if on_cpu else {}
