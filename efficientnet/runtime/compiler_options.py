"""What XLA is told of the processor that a program is compiled for."""

from jax.sharding import Mesh


def compiler_options(mesh: Mesh) -> dict[str, int]:
    """Returns `compiler_options` of `jax.jit` for programs on a mesh's devices.

    XLA on CPU uses vectors of 256 bits even where the processor has 512; one that hasn't ignores
    the wish.
    """
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    return {"xla_cpu_prefer_vector_width": 512} if on_cpu else {}
