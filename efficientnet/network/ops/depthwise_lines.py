"""Which rows and columns meet in a depthwise convolution and in the gradient of its input."""

import dataclasses
import itertools

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

Pads = tuple[tuple[int, int], tuple[int, int]]  # (top, bottom), (left, right)


@dataclasses.dataclass(frozen=True)
class Line:
    """The rows or the columns of a source and of a result, in groups that meet the same taps.

    Groups of the input have `stride` members, those of the output have one. Group i of the result
    is the sum, over j < `reach`, of the source's groups i + j, each member times its taps.

    Attributes:
      taps: of the kernel.
      stride: of the convolution.
      size: of the source.
      result_size: of the result.
      begin: which member of all the groups, counted from group 0 on, is the source's first.
      result_begin: the same of the result.
      backward: whether the source is the output's gradient, and the result that of the input.
    """

    taps: int
    stride: int
    size: int
    result_size: int
    begin: int
    result_begin: int = 0
    backward: bool = False

    def reversed(self) -> "Line":
        """Returns, for a line from the input to the output, that of the gradient."""
        return Line(
            self.taps,
            self.stride,
            size=self.result_size,
            result_size=self.size,
            begin=0,
            result_begin=self.begin - self.stride * (self.reach - 1),
            backward=True,
        )

    @property
    def reach(self) -> int:
        """How many groups of the source one of the result needs."""
        return -(-self.taps // self.stride)

    @property
    def members(self) -> int:
        """Of a group of the source."""
        return 1 if self.backward else self.stride

    @property
    def result_members(self) -> int:
        """Of a group of the result."""
        return self.stride if self.backward else 1

    @property
    def groups(self) -> range:
        """Those of the source."""
        begin, end = self.begin, self.begin + self.size
        return range(begin // self.members, -(-end // self.members))

    @property
    def result_groups(self) -> range:
        """Those of the result."""
        begin, end = self.result_begin, self.result_begin + self.result_size
        return range(begin // self.result_members, -(-end // self.result_members))

    def position(self, group: ArrayLike, member: int) -> tuple[Array, Array]:
        """Returns an index into the source, and whether it exists."""
        index = jnp.asarray(group) * self.members + (member - self.begin)
        return index, (index >= 0) & (index < self.size)

    def result_position(self, group: ArrayLike, member: int) -> tuple[Array, Array]:
        """The same for the result."""
        index = jnp.asarray(group) * self.result_members + (member - self.result_begin)
        return index, (index >= 0) & (index < self.result_size)

    @property
    def uses(self) -> tuple[tuple[int, int, int, int], ...]:
        """Of each tap (j, member of the source's group i + j, member of the result's i, tap)."""
        found = []
        for j, member, other in itertools.product(
            range(self.reach), range(self.members), range(self.result_members)
        ):
            steps = self.reach - 1 - j if self.backward else j
            found.append((j, member, other, steps * self.stride + member + other))
        return tuple(use for use in found if use[-1] < self.taps)


def lines(x: Array, kernel: Array, stride: int, pads: Pads) -> tuple[Line, Line]:
    """Returns the rows and the columns, from input [N, H, W, C] to output, for [k, k, 1, C]."""
    rows, columns = (
        Line(k, stride, size, (size + sum(around) - k) // stride + 1, begin=around[0])
        for k, size, around in zip(kernel.shape[:2], x.shape[1:3], pads, strict=True)
    )
    return rows, columns
