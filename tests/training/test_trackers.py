"""Trackers get every point once, whether a run or their server is killed in between."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import types
import typing
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import made_up
import numpy as np
import pytest
import wandb_file
from etils import epath
from ml_collections import ConfigDict

from configs import common
from efficientnet import config
from efficientnet.config import RunConfig, StageConfig
from efficientnet.errors import UserError
from efficientnet.reporting import runs
from efficientnet.training import trackers
from efficientnet.training.run import run
from efficientnet.training.tensorboard import TensorBoardWriter
from efficientnet.training.trackers.tracker import Point, Service, Tracker
from efficientnet.training.trackers.wandb import WandbRun

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
HELPERS = CHECKOUT / "tests" / "helpers"
PATIENCE = 900


class Book(Service):
    """A tracker that keeps everything, and whose server may fail."""

    ADVICE = "buy paper"
    pages: typing.ClassVar[list["Book"]] = []

    def __init__(self, *_: object) -> None:
        self.points: list[tuple[str, int, float]] = []
        self.described: Mapping[str, Any] = {}
        self.ended: list[object] = []
        self.fails = False
        Book.pages.append(self)

    @staticmethod
    def check() -> None:
        raise OSError("no answer from http://me:secret@server:80\nbecause")

    def describe(self, hyperparameters: Mapping[str, Any]) -> None:
        self.described = hyperparameters

    def last_step(self, name: str) -> int:
        return max((step for known, step, _ in self.points if known == name), default=-1)

    def send(self, points: Sequence[Point], last: bool) -> None:
        half = len(points) // 2
        self._keep(points[:half])
        if self.fails:
            raise OSError("lost in the middle")
        self._keep(points[half:])

    def _keep(self, points: Sequence[Point]) -> None:
        self.points += [(point.name, point.step, point.number) for point in points]

    def add_report(self, page: epath.Path) -> None:
        self.ended.append(page)

    def close(self, finished: bool) -> None:
        self.ended.append(finished)

    def steps(self, name: str) -> list[int]:
        return [step for known, step, _ in self.points if known == name]


def draw(tracker: Tracker, first: int, last: int) -> None:
    for step in range(first, last + 1):
        tracker.write_scalars(step, {"train/loss": np.float32(1 / step)})
        if step % 4 == 0:
            tracker.write_scalars(step, {"validation/loss": 1 / step})


def send(tracker: Tracker) -> None:
    tracker.flush()
    tracker._sender.submit(int).result()


def test_what_is_trained_again_is_sent_once() -> None:
    book = Book()
    # Killed after step 9, where the last checkpoint was at step 6; step 9 was not sent.
    killed = Tracker("book", book)
    draw(killed, 1, 8)
    send(killed)
    draw(killed, 9, 9)
    killed.close()
    resumed = Tracker("book", book)
    resumed.catch_up(Point(step, "train/loss", 1 / step, 0.0) for step in range(1, 7))
    draw(resumed, 7, 12)
    resumed.finish(12, {"final/loss": 0.5}, epath.Path("page"))
    resumed.close()
    assert book.steps("train/loss") == list(range(1, 13))
    assert book.steps("validation/loss") == [4, 8, 12]
    assert book.steps("final/loss") == [12]
    assert book.ended == [False, epath.Path("page"), True]


def test_a_tracker_that_comes_later_gets_the_points_before() -> None:
    book = Book()
    tracker = Tracker("book", book)
    tracker.catch_up(Point(step, "train/loss", 1 / step, 0.0) for step in range(1, 7))
    tracker.write_hparams({"seed": 0, "stages": ({"name": "head", "dropout": None},)})
    send(tracker)
    tracker.close()
    assert book.steps("train/loss") == list(range(1, 7))
    assert book.described == {"seed": 0, "stages.0.name": "head", "stages.0.dropout": None}


def test_a_server_that_is_away_ends_no_run_and_misses_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    book = Book()
    tracker = Tracker("book", book)
    with caplog.at_level("INFO"):
        for first, book.fails in ((1, False), (5, True), (9, True), (13, False)):
            draw(tracker, first, first + 3)
            send(tracker)
    tracker.close()
    assert book.steps("train/loss") == list(range(1, 17))
    assert book.steps("validation/loss") == [4, 8, 12, 16]
    away, back = caplog.messages
    assert away.startswith("book fails (lost in the middle): the run goes on")
    assert back == "book answers again, and has everything now"


def test_every_name_has_its_service() -> None:
    assert set(trackers.SERVICES) == set(typing.get_args(config.TrackerName))


def recipe(*names: str) -> RunConfig:
    stage = StageConfig("head", train="predictions", epochs=1)
    return RunConfig(stages=(stage,), trackers=names)  # type: ignore[arg-type]


def test_an_unknown_tracker_is_refused() -> None:
    with pytest.raises(UserError, match=r"config\.trackers .*: expected .*mlflow, wandb"):
        recipe("papyrus")


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    trackers.check(recipe())
    monkeypatch.setattr(trackers, "is_installed", lambda name: False)
    with pytest.raises(
        UserError, match=r"'mlflow', .* not installed: pip install -e '\.\[mlflow\]'"
    ):
        trackers.check(recipe("mlflow"))


@pytest.fixture
def booked(monkeypatch: pytest.MonkeyPatch) -> list[Book]:
    """The books in place of MLflow, whose package is taken for installed."""
    monkeypatch.setattr(trackers, "is_installed", lambda name: True)
    monkeypatch.setattr(trackers, "SERVICES", {"mlflow": Book})
    monkeypatch.setattr(Book, "pages", [])
    return Book.pages


@pytest.mark.usefixtures("booked")
def test_a_server_that_is_not_there_is_one_sentence_without_a_password() -> None:
    expected = (
        r"^mlflow can't be used \(no answer from http://server:80\): buy paper, or leave 'mlflow' "
        r"out of config\.trackers$"
    )
    with pytest.raises(UserError, match=expected):
        trackers.check(recipe("mlflow"))


def drawn(workdir: pathlib.Path) -> dict[str, list[int]]:
    """The steps of all curves in TensorBoard's files."""
    found: dict[str, list[int]] = {}
    whole = TensorBoardWriter(epath.Path(workdir / "tensorboard"), 2**31)
    for point in whole.points():
        found.setdefault(point.name, []).append(point.step)
    whole.close()
    return {name: sorted(steps) for name, steps in found.items()}


def test_a_run_sends_what_it_draws(
    tiny: Callable[..., ConfigDict],
    tmp_path: pathlib.Path,
    booked: list[Book],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Book, "check", lambda: None)
    made = tiny(common.stage("head", train="predictions", epochs=1, learning_rate=1e-2))
    made.trackers = ("mlflow",)
    summary = run(common.parse(made), str(tmp_path))
    (book,) = booked
    curves = drawn(tmp_path)
    assert {"train/loss", "train/learning_rate", "validation/top1", "test/f1_macro"} <= set(curves)
    for name, steps in curves.items():
        assert book.steps(name) == steps, name
    test = summary.stages[-1].metrics.test
    values = {name: value for name, _, value in book.points if name.startswith("final/")}
    assert {f"final/{name}": value for name, value in test.items()}.items() <= values.items()
    assert {name for name, _, _ in book.points} == curves.keys() | values.keys()
    assert book.described["stages.0.learning_rate"] == 1e-2
    assert "log_every_steps" not in book.described  # it may change
    assert book.ended == [epath.Path(tmp_path / "report/index.html"), True]


class WandbServer:
    """What W&B's server keeps of one run: rows, of which none comes after a later one."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, list[str]]] = []
        self.exit_codes: list[int] = []

    def init(self, **_: object) -> Any:
        config = types.SimpleNamespace(update=lambda *_, **__: None)
        after = self.rows[-1][0] + 1 if self.rows else 0
        return types.SimpleNamespace(
            config=config, offline=False, starting_step=after, log=self.log, finish=self.finish
        )

    def log(self, row: Mapping[str, float], step: int) -> None:
        assert not self.rows or step > self.rows[-1][0]
        self.rows.append((step, sorted(row)))

    def finish(self, exit_code: int) -> None:
        self.exit_codes.append(exit_code)


def test_wandb_gets_whole_rows_also_where_a_stage_is_tested(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = WandbServer()
    package = types.SimpleNamespace(init=server.init, Settings=lambda **_: None)
    monkeypatch.setitem(sys.modules, "wandb", package)

    def opened() -> Tracker:
        return Tracker("wandb", WandbRun(epath.Path(tmp_path), made_up.provenance()))

    killed = opened()
    for step in (1, 2):
        killed.write_scalars(step, {"train/loss": 0.5})
        send(killed)
    killed.write_scalars(2, {"validation/loss": 0.5})
    send(killed)
    killed.close()  # after the checkpoint at the stage's end, before its test
    assert server.rows == [(1, ["train/loss"])]
    resumed = opened()
    resumed.catch_up(Point(step, "train/loss", 0.5, 0.0) for step in (1, 2))
    resumed.catch_up([Point(2, "validation/loss", 0.5, 0.0)])
    resumed.write_scalars(2, {"test/loss": 0.5})
    resumed._sender.submit(resumed._send, resumed._points, last=True).result()
    resumed.close()
    assert server.rows[1:] == [(2, ["test/loss", "train/loss", "validation/loss"])]
    assert server.exit_codes == [1, 1]


# With the real packages.


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of MLflow's own server."""
    for package in ("mlflow", "flask", "flask_cors", "sqlalchemy", "alembic"):
        if not trackers.is_installed(package):
            pytest.skip(f"{package} is not installed: pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp("mlflow")
    with subprocess.Popen(
        [sys.executable, HELPERS / "mlflow_server.py", folder],
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def start(workdir: pathlib.Path, names: str, **environment: str) -> subprocess.Popen[str]:
    quiet = {
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
    }
    return subprocess.Popen(
        [sys.executable, HELPERS / "process.py", workdir, "1"],
        cwd=workdir.parent,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT), "TRACKERS": names} | quiet | environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def ask(server: str, question: str, **content: object) -> Any:
    request = urllib.request.Request(f"{server}/api/2.0/mlflow/{question}")
    if content:
        request.data = json.dumps(content).encode()
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_a_killed_run_is_whole_in_mlflow_and_wandb(tmp_path: pathlib.Path, server: str) -> None:
    pytest.importorskip("wandb.proto.wandb_internal_pb2", reason="pip install -e '.[dev]'")
    workdir = tmp_path / "run"
    with start(workdir, "mlflow wandb", MLFLOW_TRACKING_URI=server) as killed:
        assert killed.stderr is not None
        progress = (re.match(r"late: +(\d+)%", line) for line in killed.stderr)
        assert any(found and int(found[1]) >= 30 for found in progress)
        killed.send_signal(signal.SIGKILL)
    with start(workdir, "mlflow wandb", MLFLOW_TRACKING_URI=server) as resumed:
        _, said = resumed.communicate(timeout=PATIENCE)
        assert resumed.returncode == 0, said
    assert "fails" not in said
    curves = drawn(workdir)
    last = curves["train/loss"][-1]
    assert curves["train/loss"] == list(range(1, last + 1))

    (experiment,) = [
        known["experiment_id"]
        for known in ask(server, "experiments/search", max_results=10)["experiments"]
        if known["name"] == "efficientnet"
    ]
    (found,) = ask(server, "runs/search", experiment_ids=[experiment])["runs"]
    run_id, data = found["info"]["run_id"], found["data"]
    assert (found["info"]["status"], found["info"]["run_name"]) == ("FINISHED", "run")
    for name in {metric["key"] for metric in data["metrics"]} | curves.keys():
        question = urllib.parse.urlencode({"run_id": run_id, "metric_key": name})
        history = ask(server, f"metrics/get-history?{question}")["metrics"]
        expected = [last] if name.startswith("final/") else curves[name]
        assert sorted(metric["step"] for metric in history) == expected, name
    origin = runs.read_provenance(epath.Path(workdir))
    assert origin is not None
    tags = {tag["key"]: tag["value"] for tag in data["tags"]}
    assert tags["efficientnet.run_id"] == origin.run_id
    assert tags["efficientnet.starts"] == "2"
    assert {"key": "stages.1.train", "value": "block6-"} in data["params"]
    files = ask(server, f"artifacts/list?run_id={run_id}&path=report")["files"]
    assert [file["path"] for file in files] == ["report/index.html"]

    (kept,) = (workdir / "wandb").glob(f"offline-run-*-{origin.run_id}/*.wandb")
    rows = wandb_file.rows(kept)
    assert [row["_step"] for row in rows] == list(range(1, last + 1))
    for name, steps in curves.items():
        assert [row["_step"] for row in rows if name in row] == steps, name
    assert "final/top1" in rows[-1]


@pytest.mark.slow
def test_mlflow_without_a_server_is_refused_before_any_work(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("mlflow", reason="pip install -e '.[mlflow]'")
    address = "http://me:secret@127.0.0.1:9"
    with start(tmp_path / "run", "mlflow", MLFLOW_TRACKING_URI=address) as process:
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert said.splitlines()[-1].startswith("error: mlflow can't be used (")
    assert "MLFLOW_TRACKING_URI" in said
    assert "secret" not in said.splitlines()[-1]
    assert not (tmp_path / "run" / "config.json").exists()
