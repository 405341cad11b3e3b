"""torch is no dependency and a pickle can run code, so this reads PyTorch's `.pth` files by itself.

A pickle is a program for a small stack machine. `pickletools.genops` splits it into instructions.
The machine below knows the few that `torch.save` writes for a state dict, and looks up no name: a
global that a pickle asks for is either one of the symbols listed here, or refused by its name. It
reads both the zip format and the old one.
"""

import dataclasses
import io
import mmap
import pickletools
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO, cast

import ml_dtypes
import numpy as np
from etils import epath

from efficientnet.errors import UserError
from efficientnet.weights.readers import archives
from efficientnet.weights.readers.checkpoint import Checkpoint, Tensor, map_file

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

STORAGE_DTYPES: dict[str, Any] = {
    "torch FloatStorage": np.float32,
    "torch DoubleStorage": np.float64,
    "torch HalfStorage": np.float16,
    "torch BFloat16Storage": ml_dtypes.bfloat16,
    "torch LongStorage": np.int64,
    "torch IntStorage": np.int32,
    "torch ShortStorage": np.int16,
    "torch CharStorage": np.int8,
    "torch ByteStorage": np.uint8,
    "torch BoolStorage": np.bool_,
}
ORDERED_DICT = "collections OrderedDict"
REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"
REBUILD_PARAMETER = "torch._utils _rebuild_parameter"
# What training loops keep beside the weights, such as arguments and scores: read past, as dicts.
BESIDE = {
    "argparse Namespace",
    "builtins dict",
    "__builtin__ dict",
    "collections Counter",
    "collections defaultdict",
    "_codecs encode",
    "numpy dtype",
    "numpy.core.multiarray scalar",
    "numpy._core.multiarray scalar",
    "pathlib PosixPath",
    "torch Size",
    "torch device",
}
SYMBOLS = {*STORAGE_DTYPES, *BESIDE, ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER}


@dataclasses.dataclass(frozen=True)
class Symbol:
    """A global that a pickle names, which is compared but never looked up."""

    name: str


@dataclasses.dataclass(frozen=True)
class Storage:
    """A run of numbers stored elsewhere in the file."""

    key: str
    dtype: np.dtype
    length: int


@dataclasses.dataclass(frozen=True)
class TensorRecord:
    """A view of a storage, offset and strides in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (self.offset, *self.shape, *self.strides)
        if not all(type(n) is int and n >= 0 for n in numbers):
            raise ValueError("tensor with a shape or stride that is not a natural number")
        if len(self.shape) != len(self.strides):
            raise ValueError("tensor with a stride missing")
        last = sum((n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True))
        if 0 not in self.shape and self.offset + last >= self.storage.length:
            raise ValueError("tensor reaches beyond its storage")

    def view(self, values: np.ndarray) -> np.ndarray:
        """The tensor, as a view of its storage's values."""
        strides = tuple(stride * values.itemsize for stride in self.strides)
        return np.lib.stride_tricks.as_strided(
            values[self.offset :], self.shape, strides, writeable=False
        )


_MARK = object()  # the start of a run of items on the stack


def unpickle(file: BinaryIO, path: epath.Path) -> Any:
    """Evaluates one pickle up to its STOP, leaving `file` just behind it.

    Raises:
      UserError: the pickle names a global that no state dict needs.
      Exception: of any kind when the pickle is malformed.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def pop_to_mark() -> list[Any]:
        for index in range(len(stack) - 1, -1, -1):
            if stack[index] is _MARK:
                items = stack[index + 1 :]
                del stack[index:]
                return items
        raise ValueError("pickle without a mark")

    for opcode, argument, _ in pickletools.genops(file):
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                stack.append(_MARK)
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode.name == "NEWTRUE")
            case (
                "BININT"
                | "BININT1"
                | "BININT2"
                | "LONG1"
                | "LONG4"
                | "BINFLOAT"
                | "BINUNICODE"
                | "SHORT_BINUNICODE"
                | "BINUNICODE8"
                | "SHORT_BINSTRING"
                | "BINSTRING"
            ):
                stack.append(argument)
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                size = int(opcode.name[-1])
                if len(stack) < size:
                    raise ValueError("pickle takes from an empty stack")
                items = stack[-size:]
                stack[-size:] = [tuple(items)]
            case "TUPLE":
                stack.append(tuple(pop_to_mark()))
            case "APPEND" | "APPENDS":
                items = pop_to_mark() if opcode.name == "APPENDS" else [stack.pop()]
                cast(list[Any], _expect(stack[-1], list)).extend(items)
            case "SETITEM" | "SETITEMS":
                items = pop_to_mark() if opcode.name == "SETITEMS" else [stack.pop(-2), stack.pop()]
                target = _expect(stack[-1], dict)
                for key, value in zip(items[::2], items[1::2], strict=True):
                    target[_expect(key, (str, int))] = value
            case "BINPUT" | "LONG_BINPUT" | "MEMOIZE":
                memo[len(memo) if argument is None else argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[cast(int, argument)])
            case "GLOBAL":
                stack.append(_symbol(str(argument), path))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(_symbol(f"{module} {name}", path))
            case "BINPERSID":
                stack.append(_storage(stack.pop()))
            case "REDUCE" | "NEWOBJ":
                arguments = stack.pop()
                stack.append(_call(stack.pop(), _expect(arguments, tuple)))
            case "BUILD":
                stack.pop()  # attributes, such as the version numbers of modules
                _expect(stack[-1], dict)
            case other:
                raise UserError(
                    f"{path} is a pickle with the instruction {other}, which a state dict has no "
                    "use for: refused; save the state_dict() alone"
                )
    raise ValueError("pickle without an end")


def _expect(value: Any, kind: type | tuple[type, ...]) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"pickle has a {type(value).__name__} in the wrong place")
    return value


def _symbol(name: str, path: epath.Path) -> Symbol:
    if name not in SYMBOLS:
        dotted = str(name).replace(" ", ".")
        raise UserError(
            f"{path} is a pickle that asks for {dotted!r}: refused, because weights need no code; "
            "save the state_dict() alone"
        )
    return Symbol(name)


def _storage(identity: Any) -> Storage:
    kind, storage_type, key, _, length, *view = _expect(identity, tuple)
    if kind != "storage" or type(length) is not int or length < 0 or view not in ([], [None]):
        raise ValueError("pickle with an unknown kind of storage")
    dtype = np.dtype(STORAGE_DTYPES[_expect(storage_type, Symbol).name])
    return Storage(_expect(key, str), dtype, length)


def _call(function: Any, arguments: tuple[Any, ...]) -> Any:
    match _expect(function, Symbol).name:
        case "collections OrderedDict":
            return {_expect(key, str): value for key, value in (arguments or ((),))[0]}
        case "torch._utils _rebuild_tensor_v2":
            storage, offset, shape, strides = arguments[:4]
            return TensorRecord(
                _expect(storage, Storage), offset, _expect(shape, tuple), _expect(strides, tuple)
            )
        case "torch._utils _rebuild_parameter":
            return _expect(arguments[0], TensorRecord)
        case name if name in BESIDE:
            return {}
        case name:
            raise ValueError(f"pickle calls {name}")


def read(path: epath.Path) -> Checkpoint:
    """Opens a `.pth` file of either format; tensors stay in the file until they are read."""
    data = map_file(path)
    if data[:4] == archives.ZIP_MAGIC:
        return _read_zip(path, data)
    return _read_legacy(path, data)


def _read_zip(path: epath.Path, data: mmap.mmap) -> Checkpoint:
    members = archives.zip_members(path, data)
    pickles = [name for name in members if name.split("/")[1:] == ["data.pkl"]]
    if len(pickles) != 1:
        raise UserError(f"{path} is a zip archive of neither PyTorch nor Keras: unpack it")
    (pickle_name,) = pickles
    folder = pickle_name.split("/")[0]
    if f"{folder}/byteorder" in members and bytes(members[f"{folder}/byteorder"]()) != b"little":
        raise UserError(f"{path} was written on a big-endian machine: save it on another one")
    top = unpickle(io.BytesIO(members[pickle_name]()), path)

    def load(storage: Storage) -> np.ndarray:
        content = members[f"{folder}/data/{storage.key}"]()
        return np.frombuffer(content, storage.dtype)

    return Checkpoint(path, "PyTorch zip", _tensors(top, load, path), checksummed=True)


def _read_legacy(path: epath.Path, data: mmap.mmap) -> Checkpoint:
    file = cast(BinaryIO, data)
    if unpickle(file, path) != LEGACY_MAGIC or unpickle(file, path) != LEGACY_PROTOCOL:
        raise UserError(f"{path} is a pickle but not a PyTorch file: expected a saved state_dict()")
    if _expect(unpickle(file, path), dict).get("little_endian") is not True:
        raise UserError(f"{path} was written on a big-endian machine: save it on another one")
    top = unpickle(file, path)
    keys = _expect(unpickle(file, path), list)
    storages = {record.storage.key: record.storage for record in _records(top, path).values()}

    # Each storage is its length (int64) and its values, one after the other.
    views: dict[str, np.ndarray] = {}
    position = file.tell()
    for key in keys:
        storage = storages[_expect(key, str)]
        if int.from_bytes(data[position : position + 8], "little") != storage.length:
            raise ValueError(f"storage {key} has another length than the pickle says")
        views[key] = np.frombuffer(data, storage.dtype, storage.length, position + 8)
        position += 8 + views[key].nbytes
    if position != len(data):
        raise ValueError(f"{len(data) - position} bytes after the last tensor")
    return Checkpoint(path, "PyTorch old", _tensors(top, lambda s: views[s.key], path))


def _records(top: Any, path: epath.Path) -> dict[str, TensorRecord]:
    """Returns all tensors, each called by the keys on its way, such as `state_dict/fc.bias`."""
    records: dict[str, TensorRecord] = {}
    waiting, seen = [("", top)], {id(top)}
    while waiting:
        place, content = waiting.pop()
        for key, value in _items(content):
            name = f"{place}{key}"
            if isinstance(value, TensorRecord):
                if name in records:
                    raise ValueError(f"two tensors are called {name}")
                records[name] = value
            elif isinstance(value, dict | list | tuple) and id(value) not in seen:
                seen.add(id(value))
                waiting.append((f"{name}/", value))
    if not records:
        raise UserError(
            f"{path} holds no tensors with names: expected a state_dict() of an EfficientNet"
        )
    return records


def _items(content: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(content, dict):
        return content.items()
    return enumerate(content) if isinstance(content, list | tuple) else ()


def _tensors(
    top: Any, load: Callable[[Storage], np.ndarray], path: epath.Path
) -> dict[str, Tensor]:
    def tensor(record: TensorRecord) -> Tensor:
        def read() -> np.ndarray:
            values = load(record.storage)
            if values.size != record.storage.length:
                raise ValueError(f"storage {record.storage.key} is cut off")
            return record.view(values)

        return Tensor(record.shape, read)

    return {name: tensor(record) for name, record in _records(top, path).items()}
