"""A sweep over a stand-in for train.py, which writes what it was told as its result."""

import json
import pathlib
import sys

import pytest

from efficientnet.commands import command_line, sweep
from efficientnet.errors import UserError
from efficientnet.reporting import grids

# Top-1 is the learning rate times the batch size; each call leaves a line behind.
TRAIN = """
import json, pathlib, sys
words = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
workdir = pathlib.Path(words["workdir"])
with (workdir.parent / "calls").open("a") as file:
    file.write(workdir.name + "\\n")
if words["config.seed"] == "1" and not (workdir.parent / "mended").exists():
    sys.exit("error: no luck")
value = float(words["config.stages[0].learning_rate"]) * float(words["config.batch_size"])
metrics = {name: value for name in ("top1", "top3", "top5", "loss")}
workdir.mkdir(exist_ok=True)
sys.path.insert(0, ROOT)
from efficientnet.commands import recipes
config = recipes.read(words["config"], [word for word in sys.argv if word.startswith("--config.")])
(workdir / "config.json").write_text(json.dumps(config.to_json()))
(workdir / "network.json").touch()
stage = {
    "name": "all", "epochs": 1.0, "best_epoch": 1, "weights": "plain", "steps": 1, "seconds": 1.0,
    "images_per_second": 1.0, "parameters": {"trainable": 1, "frozen": 0},
    "metrics": {"validation": metrics, "test": metrics}, "selected_on": "test",
}
summary = {
    "status": "finished", "stages": [stage], "history": [], "classes": 2, "devices": "1 x cpu",
    "photos": {"train": 1, "validation": 1, "test": 1}, "processes": 1, "versions": {},
}
(workdir / "summary.json").write_text(json.dumps(summary))
"""
ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs/cars_b0.py")


@pytest.fixture(autouse=True)
def train(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "train.py"
    script.write_text(TRAIN.replace("ROOT", repr(str(ROOT))))
    monkeypatch.setattr(sweep, "TRAIN", (sys.executable, str(script)))


def arguments(tmp_path: pathlib.Path, seed: str = "0") -> list[str]:
    return [
        f"--config={CONFIG}",
        f"--workdir={tmp_path / 'sweep'}",
        "--grid",
        "config.stages[0].learning_rate=0.001,0.01",
        "config.batch_size=8,16",
        "--set",
        f"config.seed={seed}",
        "--jobs=2",
        "--json",
    ]


def test_a_grid_becomes_a_table_and_is_not_run_again(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert command_line.run(sweep.main, arguments(tmp_path)) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(result["runs"]) == 4
    assert result["best"] == {
        "config.stages[0].learning_rate": "0.01",
        "config.batch_size": "16",
        "validation.top1": pytest.approx(0.16),
    }
    folder = tmp_path / "sweep"
    assert (folder / "table.md").read_text().splitlines() == [
        "| validation.top1: stages[0].learning_rate | batch_size 8 | batch_size 16 |",
        "| --- | --- | --- |",
        "| 0.001 | 0.0080 | 0.0160 |",
        "| 0.01 | 0.0800 | **0.1600** |",
    ]
    assert (folder / "plot.png").read_bytes().startswith(b"\x89PNG")
    calls = (folder / "calls").read_text().split()
    assert len(calls) == len(set(calls)) == 4


def test_failed_runs_are_named_and_run_again(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.run(sweep.main, arguments(tmp_path, seed="1")) == 1
    assert "4 of 4 runs failed: see" in capsys.readouterr().err
    (log,) = (tmp_path / "sweep").glob("stages0.learning_rate=0.01_batch_size=8.log")
    assert "no luck" in log.read_text()
    (tmp_path / "sweep" / "mended").touch()
    assert command_line.run(sweep.main, arguments(tmp_path, seed="1")) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("config.stages[0].learning_rat=1", "learning_rat"),
        ("config.stages[9].learning_rate=1", "the config has fewer stages"),
        ("config.batch_size=many", "many"),
        ("config.batch_size", "expected FIELD=VALUE"),
        ("config.batch_size=8,8", "names a value twice"),
        ("config.batch_size=8,,16", "expected values between commas"),
        ("config.augment=affine(25,resize", "with their brackets closed"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], change: str, message: str
) -> None:
    words = [f"--config={CONFIG}", f"--workdir={tmp_path / 'sweep'}", "--grid", change]
    assert command_line.run(sweep.main, words) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("grid", "fixed"),
    [
        (["config.batch_size=8", "batch_size=16"], ["config.seed=1"]),
        (["config.batch_size=8"], ["config.seed=1", "seed=2"]),
        (["config.batch_size=8"], ["config.batch_size=16"]),
    ],
)
def test_a_field_has_one_place(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], grid: list[str], fixed: list[str]
) -> None:
    words = [f"--config={CONFIG}", f"--workdir={tmp_path / 'sweep'}"]
    assert command_line.run(sweep.main, [*words, "--grid", *grid, "--set", *fixed]) == 1
    assert "is given twice in --grid and --set" in capsys.readouterr().err
    assert not (tmp_path / "sweep").exists()


def test_an_edited_recipe_does_not_report_the_old_results(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.py"
    text = (
        "from configs import common\n"
        "def get_config():\n"
        "    config = common.get_config()\n"
        "    config.stages = (common.stage('all', train='all', epochs=2),)\n"
    )
    words = [f"--config={recipe}", f"--workdir={tmp_path / 'sweep'}", "--set", "config.seed=0"]
    words += ["config.batch_size=8", "--grid", "config.stages[0].learning_rate=0.1"]

    def sweep_with(line: str) -> int:
        recipe.write_text(text + line + "    return config\n")
        return command_line.run(sweep.main, words)

    calls = tmp_path / "sweep" / "calls"
    assert sweep_with("") == 0
    assert sweep_with("    config.channels = 1\n") == 1
    assert "config.channels was 3, is 1" in capsys.readouterr().err
    assert len(calls.read_text().split()) == 1
    assert sweep_with("    config.stages[0].epochs = 3\n") == 0  # more to train
    assert len(calls.read_text().split()) == 2


def test_bars_do_not_break_the_table() -> None:
    grid = {"config.augment": ["flip_left_right|rotate(25)"], "config.preprocess": ["a|b"]}
    for fields in (grid, dict(reversed(grid.items()))):
        lines = grids.table("test.top1", fields, {}).splitlines()
        assert [line.replace("\\|", "").count("|") for line in lines] == [3, 3, 3]


def test_a_workdir_belongs_to_one_sweep(tmp_path: pathlib.Path) -> None:
    sweep.open_sweep(tmp_path, {"config": "a", "set": {}})
    sweep.open_sweep(tmp_path, {"config": "a", "set": {}})
    with pytest.raises(UserError, match="another --config or --set"):
        sweep.open_sweep(tmp_path, {"config": "b", "set": {}})


@pytest.mark.parametrize(
    "values",
    [
        ["(0.1,0.2)", "(0.3,)"],
        ["resize|affine(rotate=25, scale=(0.9, 1.1), shear=8)", "resize"],
        ["[(1,2),[3,4]]", "[]"],
        ["'(,'", '",]"', "it's", "5"],
    ],
)
def test_commas_in_brackets_and_quotes_belong_to_a_value(values: list[str]) -> None:
    assert grids.parse_axis(f"mean={','.join(values)}") == ("config.mean", values)


def test_no_two_points_share_a_folder(tmp_path: pathlib.Path) -> None:
    values = ["/d/v1", "d/v/1", "dv1", "d_v1", "a" * 300, "a" * 301, "語" * 300]
    names = [grids.name_of({"config.data.directory": value}) for value in values]
    assert len(set(names)) == len(values)
    for name in names:
        (tmp_path / f"{name}.log").touch()
    assert grids.name_of({"config.stages[0].learning_rate": "1e-2", "config.seed": "3"}) == (
        "stages0.learning_rate=1e-2_seed=3"
    )


def test_runs_at_a_time_have_devices_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    seen = [sweep.environment(slot, 2)["CUDA_VISIBLE_DEVICES"] for slot in range(2)]
    assert seen == ["4", "6"]
    assert sweep.environment(0, 1)["CUDA_VISIBLE_DEVICES"] == "4,6"


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (["0", "0.001", "0.01"], "symlog"),
        (["1e-4", "1e-3"], "log"),
        (["0.1", "0.2"], "linear"),
        (["b0", "b1"], "linear"),
    ],
)
def test_numbers_over_decades_are_drawn_on_a_logarithmic_axis(
    values: list[str], scale: str
) -> None:
    (panel,) = grids.plot("test.top1", {"config.stages[0].weight_decay": values}, {}).axes
    assert panel.get_xscale() == scale
