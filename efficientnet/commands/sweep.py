r"""Trains a recipe once for each point of a grid, and puts the results in one table and a plot.

    python scripts/sweep.py --config=configs/dogs_b0.py:head --workdir=runs/dogs_sweep \
        --grid 'config.stages[0].learning_rate=1e-2,1e-3' 'config.stages[0].weight_decay=0,0.01'

Each run has a folder of its own below the workdir; the same command again resumes what was
interrupted and skips what is done. `table.md` and `plot.png` grow as runs finish; so does the list
of hyperparameters and results in `tensorboard --logdir WORKDIR`.
"""

import concurrent.futures
import itertools
import json
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from efficientnet import records
from efficientnet.commands import command_line, recipes
from efficientnet.config import RunConfig
from efficientnet.errors import UserError
from efficientnet.paths import write_whole
from efficientnet.records import RunSummary
from efficientnet.reporting import grids, plots
from efficientnet.reporting.runs import SUMMARY
from efficientnet.training.workdir import check_config, finished_summary

TRAIN = (sys.executable, "-m", "efficientnet.commands.train")


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, runs the grid, writes table and plot."""
    parser = command_line.parser(__doc__)
    parser.add_argument("--config", required=True, help="the recipe, as for train.py")
    parser.add_argument(
        "--workdir", required=True, type=command_line.local_path, help="of the whole sweep"
    )
    parser.add_argument("--grid", required=True, nargs="+", metavar="FIELD=VALUE,VALUE")
    parser.add_argument("--set", default=[], nargs="+", metavar="FIELD=VALUE", help="in every run")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, each on a device")
    parser.add_argument(
        "--metric", default="validation.top1", choices=grids.choices(), help="of the last stage"
    )
    args = parser.parse_args(arguments)
    command_line.check_positive(args, "jobs")

    axes = list(map(grids.parse_axis, args.grid))
    settings = list(map(grids.parse_setting, args.set))
    fields = [field for field, _ in (*axes, *settings)]
    for field in fields:
        if fields.count(field) > 1:
            raise UserError(f"{field} is given twice in --grid and --set: name it once")
    grid, fixed = dict(axes), dict(settings)
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    runs = {grids.name_of(point): {**fixed, **point} for point in points}
    for name, values in runs.items():
        check_config(epath.Path(args.workdir / name), read(args.config, values))
    open_sweep(args.workdir, {"config": args.config, "set": fixed})

    results: dict[str, float] = {}
    failed: list[str] = []
    slots, thread = itertools.count(), threading.local()

    def take_slot() -> None:
        thread.slot = next(slots)

    def work(name: str) -> float | None:
        env = environment(thread.slot, args.jobs)
        try:
            return run_point(args.config, runs[name], args.workdir / name, env)[args.metric]
        except subprocess.CalledProcessError:
            return None

    with concurrent.futures.ThreadPoolExecutor(args.jobs, initializer=take_slot) as pool:
        futures = {pool.submit(work, name): name for name in runs}
        try:
            for number, future in enumerate(concurrent.futures.as_completed(futures), start=1):
                name, value = futures[future], future.result()
                shown = "failed" if value is None else f"{args.metric} {value:.4f}"
                print(f"[{number}/{len(runs)}] {name}: {shown}", flush=True)
                if value is None:
                    failed.append(name)
                else:
                    results[name] = value
                write_results(args.workdir, args.metric, grid, results)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    print((args.workdir / "table.md").read_text("utf-8"))
    if failed:
        raise UserError(
            f"{len(failed)} of {len(runs)} runs failed: see {args.workdir / failed[0]}.log, "
            "and start the same command again when the reason is gone"
        )
    if args.json:
        rows = [{**point, args.metric: results[grids.name_of(point)]} for point in points]
        best = grids.best(args.metric)(rows, key=lambda row: row[args.metric])
        command_line.print_json({"runs": rows, "best": best})


def read(config: str, settings: Mapping[str, str]) -> RunConfig:
    """Reads the recipe of one point; settings that don't fit it are a `UserError`."""
    return recipes.read(config, _words(settings))


def open_sweep(workdir: pathlib.Path, settings: Mapping[str, Any]) -> None:
    """Makes the folder, which belongs to one config and one set of fixed values.

    Raises:
      UserError: it belongs to others.
      OSError: it can't be written.
    """
    known = workdir / "sweep.json"
    if known.exists():
        if records.read_json(epath.Path(known)) != settings:
            raise UserError(f"{workdir} holds a sweep with another --config or --set: take another")
        return
    workdir.mkdir(parents=True, exist_ok=True)
    write_whole(epath.Path(known), json.dumps(settings).encode())


def environment(slot: int, jobs: int) -> dict[str, str]:
    """Gives each of several runs at a time a GPU or TPU chip of its own."""
    env = dict(os.environ)
    if jobs > 1:
        visible = [word for word in env.get("CUDA_VISIBLE_DEVICES", "").split(",") if word]
        env["CUDA_VISIBLE_DEVICES"] = visible[slot % len(visible)] if visible else str(slot)
        env["TPU_VISIBLE_CHIPS"] = str(slot)
        env["TPU_CHIPS_PER_PROCESS_BOUNDS"] = env["TPU_PROCESS_BOUNDS"] = "1,1,1"
    return env


def run_point(
    config: str, settings: Mapping[str, str], folder: pathlib.Path, env: Mapping[str, str]
) -> dict[str, float]:
    """Trains one point in its folder, unless it is done; returns the last stage's metrics.

    Raises:
      subprocess.CalledProcessError: the run failed; its log says why.
    """
    summary = finished_summary(epath.Path(folder), read(config, settings))
    if summary is None:
        words = _words(settings)
        command = [*TRAIN, f"--config={config}", f"--workdir={folder}", *words]
        with folder.with_name(folder.name + ".log").open("ab") as log:
            subprocess.run(command, env=env, stdout=log, stderr=log, check=True)
        summary = records.read(RunSummary, epath.Path(folder / SUMMARY))
    found = records.to_json(summary.stages[-1].metrics)
    return {
        f"{split}.{name}": value for split in grids.SPLITS for name, value in found[split].items()
    }


def write_results(
    workdir: pathlib.Path,
    metric: str,
    grid: grids.Grid,
    results: Mapping[str, float],
) -> None:
    """Writes `table.md` and `plot.png` of the runs that are done."""
    write_whole(epath.Path(workdir / "table.md"), grids.table(metric, grid, results).encode())
    picture = plots.png(grids.plot(metric, grid, results))
    write_whole(epath.Path(workdir / "plot.png"), picture)


def _words(settings: Mapping[str, str]) -> list[str]:
    """Settings as train.py takes them."""
    return [f"--{field}={value}" for field, value in settings.items()]


if __name__ == "__main__":
    sys.exit(command_line.run(main))
