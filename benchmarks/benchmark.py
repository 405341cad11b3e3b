"""Measures rates and memory against other libraries, in interleaved rounds, as lines of JSON.

    python benchmarks/benchmark.py train --variant=b0 --batch=16 --resolution=224 --peers=timm,keras

train   the training step of a stage that trains everything
infer   the evaluation step
stages  the evaluation step, and the training steps of the classifier, of block 6 and above, and of
        everything
input   the input pipeline on the photos of --data, its parts (read; read and decode; augment
        decoded photos; batch; transfer), bare decoding, plain tf.data, torchvision if installed
threads the input pipeline on the photos of --data (crop, flip, affine warp, color jitter; from
        files, and from decoded photos) with 1, 2, 4 ... threads, and the cores they keep busy
loop    the training and evaluation loops on data that is ready, against the bare steps
save    a checkpoint: its time, how long training waits for it, and the share of the interval

In all modes but `save`, each contender has its own process, which is warmed up and then runs in
turns with the others. A line holds `mode`, `contender`, `images_per_second` (median over the
rounds), `spread` (interquartile range), `relative` (the rate as a multiple of each other
contender's, the median of the ratios within each round), `device`, `peak_memory_mb` (of the host,
by the whole process after warming up), `peak_device_memory_mb` (of a GPU or TPU),
`temporary_memory_mb` (of a compiled step, mostly activations), `threads` and `versions`. The extra
'oracles' installs the other libraries, which run on a GPU if JAX finds one.
All contenders keep their memory until the end: if memory is scarce, compare few at a time.
"""

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.rates.contest import contest
from benchmarks.rates.modes import MODES, PEER_NAMES
from benchmarks.rates.workload import Setting
from efficientnet.commands import command_line
from efficientnet.errors import UserError
from efficientnet.network.variants import get_variant


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, measures, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mode", choices=(*MODES, "save"))
    parser.add_argument("--variant", default="b0", help="default b0")
    parser.add_argument("--batch", type=int, default=16, help="images per step, default 16")
    parser.add_argument("--resolution", type=int, help="pixels, default the variant's own")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument(
        "--matmul-precision",
        default="highest",
        choices=("highest", "high", "default"),
        help="of training in float32 on GPUs and TPUs; the peers use TF32 unless it is the highest",
    )
    parser.add_argument(
        "--batch-norm",
        default="trained",
        choices=("frozen", "statistics", "trained"),
        help="in layers that train; default trained, as in the peers (recipes: frozen)",
    )
    parser.add_argument(
        "--profile", action="store_true", help="with train: add the ten most expensive operations"
    )
    parser.add_argument(
        "--peers", default="", help="timm,keras, or single variants such as timm.compiled"
    )
    parser.add_argument("--data", help="a directory of JPEG photos, with input and threads")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each contender, default 7")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a turn, default 2")
    options = parser.parse_args(arguments)

    variant = get_variant(options.variant)
    peers = [name for name in options.peers.split(",") if name]
    for name in peers:
        if name not in PEER_NAMES:
            raise UserError(f"--peers={options.peers}: expected some of {', '.join(PEER_NAMES)}")
    setting = Setting(
        options.variant,
        options.batch,
        options.resolution or variant.resolution,
        options.dtype,
        options.batch_norm,
        options.matmul_precision,
    )
    command_line.check_positive(options, "batch", "resolution", "rounds")
    logging.basicConfig(format="%(message)s")
    if options.mode == "save":
        from benchmarks.rates.save import save

        result = save(setting, options.rounds)
        command_line.print_json({"mode": "save", **vars(setting), **result})
        return
    contenders = MODES[options.mode](peers)
    if (options.mode in ("input", "threads")) != bool(options.data):
        raise UserError("--data, a directory of photos, is for input and threads, which need it")
    if options.data:
        for contender in contenders:
            contender.arguments["directory"] = options.data
    if options.profile:
        if options.mode != "train":
            raise UserError(f"--profile works with train, not with {options.mode}")
        contenders[0].arguments["profile"] = True
    for result in contest(contenders, setting, options.rounds, options.seconds):
        print_costliest(result.get("costliest", []))
        command_line.print_json({"mode": options.mode, **vars(setting), **result})


def print_costliest(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints the most expensive operations for people."""
    for row in rows:
        print(
            f"{row['milliseconds']:8.1f} ms {row['share']:6.1%}  {row['layer'] or '-':24}"
            f"{row['pass']:9} {row['operation']}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    sys.exit(command_line.run(main))
