"""A folder knows its config, and lets one process in."""

import pathlib
import subprocess
import sys
from collections.abc import Callable

import pytest
from etils import epath
from ml_collections import ConfigDict

from configs import common
from efficientnet.errors import UserError
from efficientnet.training import workdir


def recipe() -> ConfigDict:
    config = common.get_config()
    config.stages = (
        common.stage("head", train="predictions", epochs=1),
        common.stage("all", train="all", epochs=2),
    )
    return config


def more_epochs(config: ConfigDict) -> None:
    config.stages[-1].epochs = 5.0


def more_stages(config: ConfigDict) -> None:
    config.stages = (*config.stages, common.stage("again", train="all", epochs=1))


def more_of_both(config: ConfigDict) -> None:
    more_epochs(config)
    more_stages(config)


def seen_and_saved(config: ConfigDict) -> None:
    config.log_every_steps = 3
    config.checkpoint_every_steps = 3
    config.checkpoint_every_minutes = 3.0
    config.keep_checkpoints = 3


@pytest.mark.parametrize("change", [more_epochs, more_stages, more_of_both, seen_and_saved])
def test_what_leaves_the_past_as_it_was_goes_on(
    tmp_path: pathlib.Path, change: Callable[[ConfigDict], None]
) -> None:
    folder = workdir.open_workdir(str(tmp_path), recipe())
    workdir.write_config(folder, recipe(), {})
    workdir.write_json(folder / workdir.SUMMARY, {"status": "finished"})
    config = recipe()
    change(config)
    assert workdir.open_workdir(str(tmp_path), config) == folder
    finished = workdir.finished_summary(folder, config)
    assert (finished is not None) == (change is seen_and_saved)
    workdir.write_config(folder, config, {})
    assert not (folder / workdir.SUMMARY).exists()


def less_epochs(config: ConfigDict) -> None:
    config.stages[-1].epochs = 1.0


def more_epochs_before(config: ConfigDict) -> None:
    config.stages[0].epochs = 2.0


def less_stages(config: ConfigDict) -> None:
    config.stages = config.stages[:1]


def another_seed(config: ConfigDict) -> None:
    config.seed = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (less_epochs, r"config.stages\[1\].epochs was 2.0, is 1.0"),
        (more_epochs_before, r"config.stages\[0\].epochs was 1.0, is 2.0"),
        (less_stages, r"config.stages was .*"),
        (another_seed, r"config.seed was 0, is 1"),
    ],
)
def test_what_would_change_the_result_is_refused(
    tmp_path: pathlib.Path, change: Callable[[ConfigDict], None], message: str
) -> None:
    folder = workdir.open_workdir(str(tmp_path), recipe())
    workdir.write_config(folder, recipe(), {})
    config = recipe()
    change(config)
    with pytest.raises(UserError, match=message):
        workdir.open_workdir(str(tmp_path), config)


def test_a_second_process_is_refused(tmp_path: pathlib.Path) -> None:
    folder = epath.Path(tmp_path)
    refused = pytest.raises(UserError, match=r"is in use by process \d+ on ")
    with workdir.locked(folder), refused, workdir.locked(folder):
        pass
    with workdir.locked(folder):
        pass


def test_the_lock_of_a_dead_process_is_free(tmp_path: pathlib.Path) -> None:
    code = (
        "import fcntl, os, signal\n"
        f"file = open({str(tmp_path / workdir.LOCK)!r}, 'a')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == -9
    with workdir.locked(epath.Path(tmp_path)):
        pass


def test_checkpoints_without_config_are_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match=r"has checkpoints but no config.json"):
        workdir.open_workdir(str(tmp_path), recipe())


def test_a_damaged_config_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / workdir.CONFIG).write_text('{"seed": ')
    with pytest.raises(UserError, match=r"config.json is damaged"):
        workdir.open_workdir(str(tmp_path), recipe())


def test_relative_folders_are_made_absolute(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert workdir.open_workdir("../there", recipe()) == epath.Path(tmp_path / "there")
