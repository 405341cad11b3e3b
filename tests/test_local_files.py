"""Whatever may be in a bucket is opened through etils' epath: who does otherwise is named here."""

import ast
import pathlib

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = ("efficientnet", "input_pipeline", "scripts", "configs", "benchmarks")

# What opens, lists or changes files of this machine alone; also all of `pathlib.Path`.
MODULES = ("glob", "shutil", "tempfile", "os.path")
OS_FUNCTIONS = (
    "chmod",
    "link",
    "listdir",
    "lstat",
    "makedirs",
    "mkdir",
    "open",
    "readlink",
    "remove",
    "removedirs",
    "rename",
    "renames",
    "replace",
    "rmdir",
    "scandir",
    "stat",
    "symlink",
    "truncate",
    "unlink",
    "walk",
)
KNOWN = {  # files, or folders that end in a slash
    "efficientnet/finetuning/finished_run.py": "an exported folder, which another process runs",
    "efficientnet/environment.py": "where this package lies, and programs of this machine",
    "efficientnet/hub.py": "the cache of the Hugging Face Hub, which is on this machine",
    "efficientnet/inference/export/exporter.py": "an exported folder, which another process runs",
    "efficientnet/inference/export/formats.py": "parts of that folder, by writers that want a disk",
    "efficientnet/inference/writers.py": "answers, which go where the command was given",
    "efficientnet/paths.py": "the cache directory, and files where is_in_bucket() said so",
    "efficientnet/reporting/audit.py": "a page, which goes where the command was given",
    "efficientnet/runtime/accelerators.py": "the device files of GPUs",
    "efficientnet/runtime/provenance.py": "the checkout, and the driver of the devices",
    "efficientnet/training/broken_photos.py": "what is known of photos, in the cache directory",
    "efficientnet/training/trackers/wandb.py": "W&B's own files, on this machine",
    "efficientnet/weights/download.py": "the cache of downloads, which refuses to be in a bucket",
    "efficientnet/weights/integrity.py": "where a link in the cache of the Hub leads",
    "efficientnet/weights/readers/checkpoint.py": "a local copy of a checkpoint in a bucket",
    "input_pipeline/cache.py": "decoded photos, a local file that is mapped into memory",
    "input_pipeline/readable.py": "what is known of photos, in the cache directory",
    "input_pipeline/sources/unlabeled.py": "photos that a command line names, globs among them",
    "input_pipeline/sources/split.py": "local files, read and asked for size and time quickly",
    "input_pipeline/sources/walk.py": "links below folders, which are never in a bucket",
    "benchmarks/rates/": "what lasts as long as a measurement; the kernel's account",
    "benchmarks/look_at_photos.py": "what is remembered for as long as a measurement",
    "benchmarks/gpu.py": "the state of a few steps, for as long as a measurement",
    "benchmarks/chaos.py": "starts processes and kills them; their workdirs live as long",
    "efficientnet/commands/command_line.py": "the type of arguments that a bucket is refused for",
    "efficientnet/commands/explain.py": "pictures, which go where the command was given",
    "efficientnet/commands/export.py": "an exported folder, which another process runs",
    "benchmarks/parity.py": "files that other frameworks write, for the time of a comparison",
    "efficientnet/commands/sweep.py": "logs of processes, which a bucket can't take line by line",
}


def local_calls(tree):
    """The names by which a module reaches for files of this machine."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="open")):
                yield "open"
            case ast.Attribute(value=ast.Name(id="pathlib"), attr="Path"):
                yield "pathlib.Path"
            case ast.Attribute(value=ast.Name(id="io"), attr="open"):
                yield "io.open"
            case ast.Attribute(value=ast.Name(id="os"), attr=name) if name in OS_FUNCTIONS:
                yield f"os.{name}"
            case ast.Attribute(value=ast.Name(id="os"), attr="path"):
                yield "os.path"
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name in MODULES)
            case ast.ImportFrom(module=module, names=names):
                imported = {alias.name for alias in names}
                if module in MODULES:
                    yield str(module)
                elif module == "pathlib" and "Path" in imported:
                    yield "pathlib.Path"
                elif module == "os" and imported & {*OS_FUNCTIONS, "path"}:
                    yield "os"


@pytest.mark.parametrize(
    "line",
    [
        "with open(path) as file: pass",
        "pathlib.Path(name)",
        "from pathlib import Path",
        "os.path.join(a, b)",
        "from os import path",
        "import glob",
        "from shutil import rmtree",
        "os.rename(a, b)",
    ],
)
def test_a_plain_open_is_seen(line):
    assert list(local_calls(ast.parse(line)))


def test_only_named_files_open_anything_without_epath():
    sources = [path for package in PACKAGES for path in (CHECKOUT / package).rglob("*.py")]
    found = {
        path.relative_to(CHECKOUT).as_posix(): sorted(calls)
        for path in (*sources, CHECKOUT / "train.py")
        if (calls := set(local_calls(ast.parse(path.read_text("utf-8")))))
    }
    unknown = {path: calls for path, calls in found.items() if not path.startswith(tuple(KNOWN))}
    assert not unknown, "take efficientnet.paths.user_path, or name the reason above"
    assert all(any(path.startswith(known) for path in found) for known in KNOWN), "too many"
