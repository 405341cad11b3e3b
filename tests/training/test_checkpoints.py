"""What is saved comes back; what is damaged is reported, and the checkpoint before it used."""

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import made_up
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from etils import epath
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks.saved_runs import read_arrays
from efficientnet.errors import UserError
from efficientnet.records import Progress
from efficientnet.training import checkpoint_files
from efficientnet.training.checkpoints import Checkpoints


class State(flax.struct.PyTreeNode):
    zebra: dict[str, Any]
    opt_state: optax.OptState
    apple: jax.Array


def state(seed: int, devices: int = 8) -> State:
    params = {
        "conv": {"kernel": jax.random.normal(jax.random.key(seed), (3, 5))},
        "half": {"bias": jnp.arange(4, dtype=jnp.bfloat16)},
    }
    whole = State(
        zebra=params,
        opt_state=optax.chain(optax.identity(), optax.adam(0.1)).init(params),
        apple=jnp.int32(seed),
    )
    mesh = Mesh(np.asarray(jax.devices()[:devices]), ("data",))
    return jax.device_put(whole, NamedSharding(mesh, PartitionSpec()))


def progress(step: int) -> Progress:
    best = dataclasses.replace(made_up.entry("head", 1, {"top1": step / 3}), step=step)
    return Progress(best=best, history=(best,), step=step, seconds=step / 3)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Three saves, of which two are kept."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    checkpoints = Checkpoints(epath.Path(folder))
    assert checkpoints.resume() is None
    for step in (1, 2, 3):
        checkpoints.save_best("head", step, {"params": state(step).zebra})
        checkpoints.save_latest(step, state(step), progress(step))
    checkpoints.close()
    return folder


@pytest.fixture
def copy(saved: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def assert_same(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.dtype == other.dtype
        assert one.sharding.is_equivalent_to(other.sharding, one.ndim)
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("devices", [8, 4, 1])
def test_the_newest_comes_back_on_any_number_of_devices(copy: pathlib.Path, devices: int) -> None:
    checkpoints = Checkpoints(epath.Path(copy))
    assert checkpoints.resume() == progress(3)
    assert_same(checkpoints.restore_latest(like=state(0, devices)), state(3, devices))
    best = checkpoints.restore_best("head", like={"params": state(0, devices).zebra})
    assert_same(best, {"params": state(3, devices).zebra})
    checkpoints.close()


def cut(folder: pathlib.Path) -> None:
    """What a file system leaves that lost power: names without their content."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:10])


def flip(folder: pathlib.Path) -> None:
    for path in folder.rglob("d/*"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


def change_progress(folder: pathlib.Path) -> None:
    path = folder / "progress/metadata"
    path.write_text(path.read_text().replace('"seconds": 1.0', '"seconds": 2.0'))
    assert json.loads(path.read_text())["seconds"] == 2.0


def empty(folder: pathlib.Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize(
    ("part", "damage"),
    [
        ("latest/3", cut),
        ("latest/3/state", cut),
        ("latest/3", flip),
        ("latest/3", change_progress),
        ("latest/3", empty),
        ("latest/3/state", shutil.rmtree),
        ("latest/3/checksums", shutil.rmtree),
        ("best/head/3", flip),
        ("best/head/3", shutil.rmtree),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_damaged_checkpoint_is_reported_and_the_one_before_used(
    copy: pathlib.Path,
    part: str,
    damage: Callable[[pathlib.Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    damage(copy / part)
    checkpoints = Checkpoints(epath.Path(copy))
    assert checkpoints.resume() == progress(2)
    assert_same(checkpoints.restore_latest(like=state(0)), state(2))
    # The damaged one is out of the way of the one that will be saved in its place.
    checkpoints.save_best("head", 3, {"params": state(7).zebra})
    checkpoints.save_latest(3, state(7), progress(3))
    checkpoints.close()
    assert read_arrays(epath.Path(copy))["latest/apple"] == 7
    (message,) = (r.getMessage() for r in caplog.records if "is damaged" in r.getMessage())
    assert f"checkpoint {copy}/latest/3 is damaged: " in message


def test_a_changed_array_is_named(saved: pathlib.Path) -> None:
    sums = checkpoint_files.of_tree(state(3))
    changed = state(3).replace(apple=jnp.int32(4))
    assert checkpoint_files.difference(sums, checkpoint_files.of_tree(state(3))) == ""
    assert checkpoint_files.difference(sums, checkpoint_files.of_tree(changed)) == (
        "the checksum of apple is wrong"
    )


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        PermissionError(13, "Permission denied"),
        jax.errors.JaxRuntimeError("UNKNOWN: Connection closed by peer"),
        ValueError("RESOURCE_EXHAUSTED: Error opening a file"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_can_not_be_read_now_is_not_taken_for_damaged(
    error: Exception, copy: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(ocp.CheckpointManager, "restore", fail)
        checkpoints = Checkpoints(epath.Path(copy))
        with pytest.raises(UserError, match=r"latest/3 can't be read now .*nothing is changed"):
            checkpoints.resume()
        checkpoints.close()
    again = Checkpoints(epath.Path(copy))
    assert again.resume() == progress(3)
    again.close()


def test_where_none_is_whole_nothing_is_deleted(copy: pathlib.Path) -> None:
    for step in (2, 3):
        shutil.rmtree(copy / f"latest/{step}/checksums")
    checkpoints = Checkpoints(epath.Path(copy))
    with pytest.raises(UserError, match=r"no checkpoint in .* is intact"):
        checkpoints.resume()
    checkpoints.close()
    assert {path.name for path in (copy / "latest").iterdir()} >= {"2", "3"}


def test_best_weights_after_the_checkpoint_that_is_used_are_forgotten(
    tmp_path: pathlib.Path,
) -> None:
    """Else Orbax, which saves no step before one that is there, would not save them again."""
    folder = tmp_path / "checkpoints"
    none_yet = Progress(step=1)
    checkpoints = Checkpoints(epath.Path(folder))
    checkpoints.resume()
    checkpoints.save_latest(1, state(1), none_yet)
    checkpoints.save_best("head", 2, {"params": state(2).zebra})
    checkpoints.save_latest(2, state(2), progress(2))
    checkpoints.save_best("head", 3, {"params": state(3).zebra})  # and killed
    checkpoints.close()
    flip(folder / "latest/2")

    checkpoints = Checkpoints(epath.Path(folder))
    assert checkpoints.resume() == none_yet
    checkpoints.save_best("head", 2, {"params": state(7).zebra})
    checkpoints.save_latest(2, state(7), progress(2))
    best = checkpoints.restore_best("head", like={"params": state(0).zebra})
    assert_same(best, {"params": state(7).zebra})
    checkpoints.close()
    checkpoints = Checkpoints(epath.Path(folder))
    assert checkpoints.resume() == progress(2)
    checkpoints.close()


def test_every_kept_checkpoint_has_its_best_weights(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "checkpoints"
    checkpoints = Checkpoints(epath.Path(folder), keep=3)
    checkpoints.resume()
    for step in range(1, 6):
        checkpoints.save_best("head", step, {"params": state(step).zebra})
        checkpoints.save_latest(step, state(step), progress(step))
    # Killed before the checkpoint that would know of them.
    checkpoints.save_best("head", 6, {"params": state(6).zebra})
    checkpoints.close()
    for step in (5, 4):
        shutil.rmtree(folder / f"latest/{step}/checksums")
    checkpoints = Checkpoints(epath.Path(folder), keep=3)
    assert checkpoints.resume() == progress(3)
    checkpoints.close()


def test_a_save_that_orbax_leaves_out_is_an_error(copy: pathlib.Path) -> None:
    checkpoints = Checkpoints(epath.Path(copy))
    checkpoints.resume()
    with pytest.raises(RuntimeError, match="has not saved step 2"):
        checkpoints.save_latest(2, state(2), progress(2))
    checkpoints.close()


def test_a_half_written_one_is_as_if_it_never_was(copy: pathlib.Path) -> None:
    (copy / "latest/3").rename(copy / "latest/3.orbax-checkpoint-tmp")
    checkpoints = Checkpoints(epath.Path(copy))
    assert checkpoints.resume() == progress(2)
    checkpoints.close()


def test_another_structure_is_refused(copy: pathlib.Path) -> None:
    checkpoints = Checkpoints(epath.Path(copy))
    checkpoints.resume()
    other = state(0).replace(apple=jnp.zeros(3))
    with pytest.raises(UserError, match=r"as apple was int32\[\] and now is float32\[3\]"):
        checkpoints.restore_latest(like=other)
    checkpoints.close()


def test_a_folder_that_is_gone_is_not_made_anew(copy: pathlib.Path) -> None:
    checkpoints = Checkpoints(epath.Path(copy))
    checkpoints.resume()
    shutil.rmtree(copy)
    with pytest.raises(FileNotFoundError):
        checkpoints.save_latest(4, state(4), progress(4))
    assert not copy.exists()
