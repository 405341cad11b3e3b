"""Reads the compiler's cycle estimates, collectives and kernels from the text of optimized HLO.

XLA's TPU compiler writes `"estimated_cycles"` into the backend config of each kernel: fusions,
convolutions, copies. They don't include waiting for other chips, nor gathers, whose addresses
depend on the data.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
    "collective-broadcast",
)
_HEAD = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"\s+(?:ROOT )?%?([\w.\-]+) = (.*)")
_CYCLES = re.compile(r'"estimated_cycles":"?(\d+)')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_CALLED = re.compile(r"(?:calls|to_apply|body|condition)=%?([\w.\-]+)")
_CONDITION = re.compile(r"condition=%?([\w.\-]+)")
_CONSTANT = re.compile(r"\S+\[\]\S* constant\((\d+)\)")
# Names of what the compiler rematerializes; those of `jax.checkpoint` are different.
_REMATERIALIZED = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+\.remat[\w.\-]* = ", re.MULTILINE)
_GATHER = re.compile(r"kind=kCustom.*op_name=\"[^\"]*gather\"")
_BRANCHES = re.compile(r"(?:branch_computations=\{([^}]*)\}|(?:true|false)_computation=([^,\s]+))")
_ARRAY = re.compile(r"\b(?:pred|[a-z]+(\d+)\w*)\[([\d,]*)\]")
_PATH = re.compile(r"op_name=\"([^\"]*)\"")
_OPERAND = re.compile(r"%([\w.\-]+)")
# Memory for a library to work in, the last of its results.
_WORKSPACE = re.compile(r", [su]8\[\d+\]\S*\)$")
# What runs nothing on a GPU.
_FREE = ("parameter", "constant", "get-tuple-element", "tuple", "bitcast", "after-all")
_LAYER = re.compile(r"(?:stem|top|block\d+[a-z]+|predictions)(?:_\w+)?")


@dataclasses.dataclass(frozen=True)
class Collective:
    """All collectives of one kind."""

    kind: str
    count: int
    bytes: int  # of their results on one chip


@dataclasses.dataclass(frozen=True)
class Kernel:
    """What a GPU runs at once, or a library's few kernels of one operation."""

    name: str
    path: str  # that JAX traced it under
    bytes: int  # of its operands and results, each once


@dataclasses.dataclass(frozen=True)
class _Instruction:
    name: str
    kind: str
    type: str
    operands: tuple[str, ...]
    path: str
    cycles: int | None
    called: tuple[str, ...]
    branches: tuple[str, ...]
    condition: str  # of a loop
    trips: int | None  # of a loop, where the compiler says so
    constant: int | None
    gathers: bool


def estimated_cycles(text: str) -> int:
    """Sums the estimates of everything the program runs; a loop's body counts for each trip."""
    computations, entry = _parse(text)

    def total(name: str) -> int:
        return sum(cost(instruction) for instruction in computations[name])

    def cost(instruction: _Instruction) -> int:
        if instruction.cycles is not None:
            return instruction.cycles
        branches = max(map(total, instruction.branches), default=0)
        return branches + _trips(computations, instruction) * sum(map(total, instruction.called))

    return total(entry)


def paths(text: str) -> dict[str, str]:
    """Returns the path that JAX traced each instruction under, by name; '' if unknown."""
    computations, _ = _parse(text)
    return {found.name: found.path for inside in computations.values() for found in inside}


def layer_and_pass(path: str) -> tuple[str, str]:
    """Returns the layer ('' if there is none) and 'forward' or 'gradient' from JAX's path."""
    layers = [part for part in path.split("/") if _LAYER.fullmatch(part)]
    return layers[-1] if layers else "", "gradient" if "transpose(jvp" in path else "forward"


def collectives(text: str) -> tuple[Collective, ...]:
    """Counts the collectives by kind; an asynchronous one counts once."""
    found: dict[str, list[int]] = {}
    for instruction, times in _run(text):
        kind = instruction.kind.removesuffix("-start")
        if kind in COLLECTIVES:
            count_and_bytes = found.setdefault(kind, [0, 0])
            count_and_bytes[0] += times
            count_and_bytes[1] += times * _result_bytes(instruction)
    return tuple(Collective(kind, *found[kind]) for kind in COLLECTIVES if kind in found)


def gathered_bytes(text: str) -> int:
    """Bytes of gathers for which the compiler estimates no cycles."""
    return sum(
        times * _result_bytes(instruction)
        for instruction, times in _run(text)
        if instruction.gathers and instruction.cycles is None
    )


def kernels(text: str) -> tuple[Kernel, ...]:
    """Returns what a GPU runs for a program, in its order; what is in loops, once for each trip."""
    computations, entry = _parse(text)

    def visit(name: str) -> Iterator[Kernel]:
        types = {other.name: other.type for other in computations[name]}
        for instruction in computations[name]:
            if instruction.kind == "while":
                trips = _trips(computations, instruction)
                yield from [kernel for part in instruction.called for kernel in visit(part)] * trips
            elif instruction.kind not in _FREE:
                moved = [_WORKSPACE.sub(")", instruction.type)]
                moved += [types[operand] for operand in set(instruction.operands)]
                yield Kernel(instruction.name, instruction.path, sum(map(_bytes, moved)))

    return tuple(visit(entry))


def rematerialized(text: str) -> int:
    """Counts the instructions that the compiler repeats because it ran short of memory."""
    return len(_REMATERIALIZED.findall(text))


def _run(text: str) -> Iterator[tuple[_Instruction, int]]:
    """Yields every instruction the program runs, and how often, over all branches."""
    computations, entry = _parse(text)

    def visit(name: str, times: int) -> Iterator[tuple[_Instruction, int]]:
        for instruction in computations[name]:
            yield instruction, times
            for called in (*instruction.called, *instruction.branches):
                yield from visit(called, times * _trips(computations, instruction))

    return visit(entry, 1)


def _trips(computations: dict[str, list[_Instruction]], instruction: _Instruction) -> int:
    """How often a loop runs, from the limit of its counter; 1 for other instructions."""
    if instruction.trips is not None:
        return instruction.trips
    condition = computations[instruction.condition] if instruction.condition else []
    return max((other.constant for other in condition if other.constant is not None), default=1)


# The text is megabytes, and most functions above need this.
@functools.lru_cache(maxsize=1)
def _parse(text: str) -> tuple[dict[str, list[_Instruction]], str]:
    """Returns the instructions of each computation, and the name of the entry."""
    computations: dict[str, list[_Instruction]] = {}
    entry = name = ""
    for line in text.splitlines():
        if head := _HEAD.match(line):
            name = head[2]
            computations[name] = []
            if head[1]:
                entry = name
        elif name and (found := _INSTRUCTION.match(line)):
            computations[name].append(_instruction(found[1], found[2]))
    if not entry:
        raise ValueError("the text holds no entry computation: it is no HLO module")
    return computations, entry


def _instruction(name: str, text: str) -> _Instruction:
    """Reads what follows the equals sign: type, opcode, operands, attributes."""
    end = _matching(text) if text.startswith("(") else text.index(" ")
    kind, _, rest = text[end:].lstrip().partition("(")
    path, condition = _PATH.search(text), _CONDITION.search(text)
    cycles, trips, constant = (p.search(text) for p in (_CYCLES, _TRIPS, _CONSTANT))
    branches = [
        name.strip().lstrip("%")
        for listed, single in _BRANCHES.findall(text)
        for name in (listed or single).split(",")
    ]
    return _Instruction(
        name,
        kind,
        text[:end],
        tuple(_OPERAND.findall(rest.partition(")")[0])),
        path[1] if path else "",
        int(cycles[1]) if cycles else None,
        tuple(_CALLED.findall(text)),
        tuple(branches),
        condition[1] if condition else "",
        int(trips[1]) if trips else None,
        int(constant[1]) if constant else None,
        bool(_GATHER.search(text)),
    )


def _matching(text: str) -> int:
    """Returns the index after the parenthesis that closes the one at the start."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return position + 1
    raise ValueError(f"an instruction's type is cut off: {text[:80]}")


def _result_bytes(instruction: _Instruction) -> int:
    """Bytes of the result; that of an asynchronous start also contains the operands."""
    parts = [instruction.type]
    if instruction.kind in ("all-gather-start", "collective-permute-start"):
        parts = list(_elements(instruction.type))[1:2]
    return sum(map(_bytes, parts))


def _bytes(type_text: str) -> int:
    """Bytes of a type's arrays."""
    bits = sum(
        math.prod(int(size) for size in sizes.split(",") if size) * int(width or 8)
        for width, sizes in _ARRAY.findall(type_text)
    )
    return math.ceil(bits / 8)


def _elements(type_text: str) -> Iterator[str]:
    """Yields the elements of a tuple's type."""
    depth, begin = 0, 1
    for position, character in enumerate(type_text):
        if depth == 1 and (character == "," or position == len(type_text) - 1):
            yield type_text[begin:position]
            begin = position + 1
        depth += (character in "({[") - (character in ")}]")
