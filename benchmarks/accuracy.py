"""Trains a recipe with timm's network in PyTorch: which accuracy `train.py` should reach.

    pip install -e '.[oracles]'
    python benchmarks/accuracy.py --config=configs/cars_lite0.py --config.data.directory=DIRECTORY

Pretrained weights, new classifier, batches, learning rates and the choice of the best epoch are
those of `train.py` with the same seed; network, gradients, loss and AdamW are PyTorch's. After each
stage comes a line of JSON with its metrics on the validation and test photos. Recipes that need
more than AdamW with frozen BatchNorm are refused.
"""

import argparse
import copy
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import input_pipeline
from efficientnet.commands import command_line, recipes
from efficientnet.config import RunConfig, StageConfig
from efficientnet.network import architecture, freeze_groups
from efficientnet.reporting import predictions, scores
from efficientnet.runtime.progress_bar import progress_bar
from efficientnet.training import monitoring, setup, steps
from efficientnet.training.setup import Experiment
from efficientnet.weights.families import TIMM
from efficientnet.weights.naming import Entry

# What all stages must have: PyTorch's run knows nothing else.
PLAIN: dict[str, Any] = {
    "optimizer": "adamw",
    "head_learning_rate": None,
    "layer_decay": 1.0,
    "clip_norm": 0.0,
    "mixup": 0.0,
    "cutmix": 0.0,
    "balance_classes": False,
    "dropout": 0.0,
    "drop_connect": 0.0,
    "cached_copies": 0,
    "batch_norm": "frozen",
    "ema_decay": 0.0,
    "start": "best",
    "plateau_factor": 1.0,
    "stop_patience": 0,
}
# The names of timm's networks with TensorFlow's padding, and with PyTorch's.
NAMES = {"same": "tf_efficientnet_{}", "symmetric": "efficientnet_{}"}


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, trains the stages, prints a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", required=True, help="the recipe, as for train.py")
    args, overrides = parser.parse_known_args(arguments)
    config = recipes.read(args.config, overrides)
    check(config)
    command_line.show_log("efficientnet", "input_pipeline")
    experiment = setup.prepare(config)
    peer = Peer(experiment)
    first_step = 0
    for stage in config.stages:
        result = peer.train(stage, first_step)
        first_step += result["steps"]
        command_line.print_json({"stage": stage.name, "seed": config.seed, **result})


def check(config: RunConfig) -> None:
    """Checks that PyTorch's run can do what a recipe asks for.

    Raises:
      UserError: it can't; the message names the field.
    """
    if config.head_batch_norm:
        raise config.wrong("head_batch_norm", "False, which is all that PyTorch's run knows")
    for stage in config.stages:
        _ = stage.peak_rate  # 'auto' is refused
        for field, value in PLAIN.items():
            if getattr(stage, field) != value:
                raise stage.wrong(field, f"{value!r}, which is all that PyTorch's run knows")


def in_timms_names(
    variables: Mapping[str, Any], entries: Mapping[str, Entry]
) -> dict[str, np.ndarray]:
    """Returns our variables with timm's names and order of axes."""
    tensors = {}
    for name, entry in entries.items():
        collection, layer, leaf = entry.leaf
        values, axes = np.asarray(variables[collection][layer][leaf]), entry.transform.axes
        tensors[name] = values if axes is None else values.transpose(np.argsort(axes))
    return tensors


class Peer:
    """timm's network, with the weights and the photos of an experiment of ours."""

    def __init__(self, experiment: Experiment) -> None:
        import timm
        import torch

        self._torch, self._experiment = torch, experiment
        classes, channels = len(experiment.data.class_names), experiment.config.channels
        layers = architecture.layers(experiment.variant, classes, channels)
        self._entries = TIMM.entries(layers)
        self._network = timm.create_model(
            NAMES[experiment.padding].format(experiment.config.variant),
            num_classes=classes,
            in_chans=channels,
            bn_eps=experiment.bn_epsilon,
        )
        ours = in_timms_names(experiment.variables, self._entries)
        state = {name: torch.tensor(values) for name, values in ours.items()}
        # Counters of batches are all that timm has besides.
        self._network.load_state_dict(self._network.state_dict() | state)
        self._network.to(memory_format=torch.channels_last)
        # Frozen BatchNorm is in inference mode; nothing else is different in training.
        self._network.eval()

    def train(self, stage: StageConfig, first_step: int) -> dict[str, Any]:
        """Trains a stage, leaves its best weights in the network, and returns their metrics.

        Args:
          stage: of the recipe.
          first_step: how many steps the stages before it have taken.
        """
        torch, data = self._torch, self._experiment.data
        schedule = steps.stage_schedule(self._experiment, stage)
        optimizer = self._optimizer(stage)
        objective = torch.nn.CrossEntropyLoss(label_smoothing=stage.label_smoothing)
        batches = self._experiment.batches.train(first_step, schedule.num_steps)
        best: tuple[int, dict[str, float], Any] | None = None
        seconds, began = 0.0, time.perf_counter()
        size = self._experiment.config.batch_size
        with progress_bar(stage.name, schedule.num_steps * size) as bar:
            for step, batch in enumerate(batches):
                for group in optimizer.param_groups:
                    group["lr"] = float(schedule.learning_rates[step])
                labels = torch.from_numpy(batch["label"].astype(np.int64))
                loss = objective(self._network(self._images(batch["image"])), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                bar.update(size)
                if step + 1 not in schedule.epoch_ends:
                    continue
                seconds += time.perf_counter() - began
                measured = self._evaluate(data.validation)
                bar.set_postfix_str(f"validation {stage.monitor} {measured[stage.monitor]:.4f}")
                better = best is None or (
                    monitoring.score(stage, measured) > monitoring.score(stage, best[1])
                )
                if better:
                    weights = copy.deepcopy(self._network.state_dict())
                    best = schedule.epoch_ends[step + 1], measured, weights
                began = time.perf_counter()
        assert best is not None  # the last step ends an epoch
        epoch, validation, weights = best
        self._network.load_state_dict(weights)
        return {
            "steps": schedule.num_steps,
            "best_epoch": epoch,
            "images_per_second": schedule.num_steps * size / seconds,
            "validation": validation,
            "test": self._evaluate(data.test),
            "torch": torch.__version__,
        }

    def _optimizer(self, stage: StageConfig) -> Any:
        """Returns AdamW for what a stage trains, and freezes the rest."""
        trained, _ = freeze_groups.split_params(
            self._experiment.variables["params"], freeze_groups.trainable(stage)
        )
        groups: dict[float, list[Any]] = {stage.weight_decay: [], 0.0: []}
        for name, parameter in self._network.named_parameters():
            _, layer, leaf = self._entries[name].leaf
            parameter.requires_grad_(layer in trained)
            if layer in trained:
                groups[stage.weight_decay if leaf == "kernel" else 0.0].append(parameter)
        return self._torch.optim.AdamW(
            [{"params": those, "weight_decay": decay} for decay, those in groups.items()],
            eps=stage.epsilon or 1e-8,
        )

    def _images(self, images: np.ndarray) -> Any:
        """Returns normalized images [N, C, H, W], with the channels last in memory."""
        scaled = (images - self._experiment.mean) / self._experiment.std
        return self._torch.from_numpy(scaled).permute(0, 3, 1, 2)

    def _evaluate(self, split: input_pipeline.Split) -> dict[str, float]:
        """Returns the metrics of `scores.summary` on a split."""
        logits, labels = [], []
        with self._torch.inference_mode():
            for batch in self._experiment.batches.evaluate(split):
                found = self._network(self._images(batch["image"])).numpy()
                logits.append(found[batch["mask"]])
                labels.append(batch["label"][batch["mask"]])
        found = predictions.from_logits(
            np.concatenate(logits),
            np.concatenate(labels),
            split.names,
            self._experiment.data.class_names,
        )
        return scores.summary(found)


if __name__ == "__main__":
    sys.exit(command_line.run(main))
