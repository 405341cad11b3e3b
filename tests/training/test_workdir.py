"""A folder knows its config, and lets one process in."""

import dataclasses
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import made_up
import pytest
from etils import epath

from efficientnet import records
from efficientnet.config import DataConfig, RunConfig, StageConfig
from efficientnet.errors import UserError
from efficientnet.records import NetworkRecord
from efficientnet.training import workdir
from efficientnet.training.broken_photos import identity
from efficientnet.training.setup import Data
from input_pipeline.sources.split import Split, from_encoded, from_files


def recipe() -> RunConfig:
    return RunConfig(
        stages=(
            StageConfig("head", train="predictions", epochs=1),
            StageConfig("all", train="all", epochs=2),
        )
    )


def network(
    class_names: tuple[str, ...] = ("cat", "dog"),
    train: int = 4,
    test: int = 2,
    first: int = 0,
    folder: str = "",
) -> NetworkRecord:
    """A record of a network that is trained on so many photos, of which the first has a label."""

    def photos(count: int) -> Split:
        labels = [first, *[1] * (count - 1)]
        return from_encoded([b""] * count, [f"{folder}{n}.jpg" for n in range(count)], labels)

    data = Data(class_names, photos(train), photos(2), photos(test))
    return made_up.network(class_names, identity(data.splits))


NETWORK = network()


def with_epochs(config: RunConfig, stage: int, epochs: float) -> RunConfig:
    stages = list(config.stages)
    stages[stage] = dataclasses.replace(stages[stage], epochs=epochs)
    return dataclasses.replace(config, stages=tuple(stages))


def more_epochs(config: RunConfig) -> RunConfig:
    return with_epochs(config, -1, 5.0)


def more_stages(config: RunConfig) -> RunConfig:
    again = StageConfig("again", train="all", epochs=1)
    return dataclasses.replace(config, stages=(*config.stages, again))


def more_of_both(config: RunConfig) -> RunConfig:
    return more_stages(more_epochs(config))


def seen_and_saved(config: RunConfig) -> RunConfig:
    return dataclasses.replace(
        config,
        log_every_steps=3,
        checkpoint_every_steps=3,
        checkpoint_every_minutes=3.0,
        keep_checkpoints=3,
        skip_steps=3,
        deterministic=False,
        data=DataConfig(
            broken_limit=3, directory="/mounted/elsewhere", cache_directory="/of/this/machine"
        ),
    )


@pytest.mark.parametrize("change", [more_epochs, more_stages, more_of_both, seen_and_saved])
def test_what_leaves_the_past_as_it_was_goes_on(
    tmp_path: pathlib.Path, change: Callable[[RunConfig], RunConfig]
) -> None:
    folder = workdir.open_workdir(str(tmp_path), recipe())
    workdir.write_config(folder, recipe(), NETWORK)
    records.write(folder / workdir.SUMMARY, made_up.summary())
    config = change(recipe())
    assert workdir.open_workdir(str(tmp_path), config) == folder
    finished = workdir.finished_summary(folder, config)
    assert (finished is not None) == (change is seen_and_saved)
    workdir.write_config(folder, config, NETWORK)
    assert not (folder / workdir.SUMMARY).exists()


def test_a_run_that_held_photos_out_by_default_goes_on_with_them(tmp_path: pathlib.Path) -> None:
    data = dataclasses.replace(recipe().data, validation_split="")
    earlier = dataclasses.replace(recipe(), data=data)
    assert workdir.as_begun(str(tmp_path / "new"), recipe()) == recipe()
    folder = workdir.open_workdir(str(tmp_path), earlier)
    workdir.write_config(folder, earlier, NETWORK)
    assert workdir.open_workdir(str(tmp_path), recipe()) == folder
    assert workdir.as_begun(str(tmp_path), recipe()) == earlier
    named = dataclasses.replace(recipe(), data=dataclasses.replace(data, validation_split="val"))
    with pytest.raises(UserError, match="validation_split was '', is 'val'"):
        workdir.open_workdir(str(tmp_path), named)


def less_epochs(config: RunConfig) -> RunConfig:
    return with_epochs(config, -1, 1.0)


def more_epochs_before(config: RunConfig) -> RunConfig:
    return with_epochs(config, 0, 2.0)


def less_stages(config: RunConfig) -> RunConfig:
    return dataclasses.replace(config, stages=config.stages[:1])


def another_seed(config: RunConfig) -> RunConfig:
    return dataclasses.replace(config, seed=1)


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
    tmp_path: pathlib.Path, change: Callable[[RunConfig], RunConfig], message: str
) -> None:
    folder = workdir.open_workdir(str(tmp_path), recipe())
    workdir.write_config(folder, recipe(), NETWORK)
    config = change(recipe())
    with pytest.raises(UserError, match=message):
        workdir.open_workdir(str(tmp_path), config)


@pytest.fixture
def begun(tmp_path: pathlib.Path) -> epath.Path:
    """The folder of a run that has a checkpoint."""
    folder = workdir.open_workdir(str(tmp_path / "run"), recipe())
    workdir.write_config(folder, recipe(), NETWORK)
    (folder / "checkpoints" / "latest" / "5").mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_names": ("dog", "cat")}, "class 0 was 'cat', is 'dog'"),
        ({"class_names": ("cat", "dog", "owl")}, "2 classes have become 3"),
        ({"train": 5}, "train had 4 photos, has 5"),
        ({"train": 5, "test": 1}, "train had 4 photos, has 5; test had 2 photos, has 1"),
        (
            {"first": 1},
            "the 4 photos of train have other names, labels or order; the 2 photos of val",
        ),
        ({"folder": "new/"}, "the 4 photos of train have other names, labels or order"),
    ],
)
def test_other_data_are_refused(begun: epath.Path, change: dict[str, Any], message: str) -> None:
    before = (begun / workdir.NETWORK).read_text()
    with pytest.raises(
        UserError, match=rf"run on other data \({message}.*\): choose another --work"
    ):
        workdir.write_config(begun, recipe(), network(**change))
    assert (begun / workdir.NETWORK).read_text() == before


def test_the_same_data_go_on_and_so_does_a_run_of_an_earlier_version(begun: epath.Path) -> None:
    workdir.write_config(begun, recipe(), network())
    records.write(begun / workdir.NETWORK, dataclasses.replace(network(), data={}))
    workdir.write_config(begun, recipe(), network(train=5))
    assert records.read_json(begun / workdir.NETWORK)["data"]["train"]["photos"] == 5
    (begun / workdir.NETWORK).unlink()
    workdir.write_config(begun, recipe(), network())


def test_fields_that_an_earlier_version_did_not_have_are_as_they_were(begun: epath.Path) -> None:
    known = records.read_json(begun / workdir.CONFIG)
    del known["data"]["folds"], known["data"]["group"]
    records.write(begun / workdir.CONFIG, known)
    workdir.check_config(begun, recipe())
    in_folds = dataclasses.replace(recipe(), data=DataConfig(folds=2))
    with pytest.raises(UserError, match=r"config.data.folds was 0, is 2"):
        workdir.check_config(begun, in_folds)


def test_data_may_change_as_long_as_there_is_no_checkpoint(begun: epath.Path) -> None:
    (begun / "checkpoints" / "latest" / "5").rmdir()
    workdir.write_config(begun, recipe(), network(train=5))


def test_where_the_data_have_moved_is_said(
    begun: epath.Path, caplog: pytest.LogCaptureFixture
) -> None:
    for place in ("/before", "/before", "/now"):
        config = dataclasses.replace(recipe(), data=DataConfig(directory=place))
        with caplog.at_level("INFO", workdir.__name__):
            workdir.write_config(begun, config, NETWORK)
    assert caplog.messages == [
        "data: the same as before, moved from '' to '/before'",
        "data: the same as before, moved from '/before' to '/now'",
    ]
    assert records.read_json(begun / workdir.CONFIG)["data"]["directory"] == "/now"


def test_a_copy_of_the_data_is_the_same_data(tmp_path: pathlib.Path) -> None:
    found = []
    for copy in ("here", "there"):
        for name in ("1.jpg", "2.jpg"):
            (tmp_path / copy).mkdir(exist_ok=True)
            (tmp_path / copy / name).write_text(copy)
        split = from_files(epath.Path(tmp_path / copy), ("1.jpg", "2.jpg"), (0, 1))
        found.append(identity(Data(("cat", "dog"), split, split, split).splits))
    assert found[0] == found[1]


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
