"""timm on PyTorch, in the ways in which its users run it."""

from typing import Any

import timm
import torch

from benchmarks.rates.workload import CLASSES, Setting, Workload, repeated

PACKAGES = ("torch", "timm")


def infer(setting: Setting, **how: bool) -> Workload:
    """A forward pass of the network in evaluation mode; see `_network` for `how`."""
    network, images = _network(setting, **how)
    network.eval()

    def step() -> None:
        with torch.inference_mode(), _precision(how):
            network(images)

    return Workload(repeated(step, setting.batch), PACKAGES, torch.get_num_threads())


def train(setting: Setting, **how: bool) -> Workload:
    """A step of SGD with momentum that trains everything; see `_network` for `how`."""
    network, images = _network(setting, **how)
    network.train()
    targets = torch.randint(0, CLASSES, (setting.batch,))
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, nesterov=True)
    objective = torch.nn.CrossEntropyLoss(label_smoothing=0.1)

    def step() -> None:
        optimizer.zero_grad()
        with _precision(how):
            loss = objective(network(images), targets)
        loss.backward()
        optimizer.step()
        loss.item()

    return Workload(repeated(step, setting.batch), PACKAGES, torch.get_num_threads())


def _network(
    setting: Setting, *, channels_last: bool = False, compiled: bool = False, bfloat16: bool = False
) -> tuple[Any, torch.Tensor]:
    del bfloat16  # see _precision
    torch.manual_seed(0)
    network = timm.create_model(
        f"efficientnet_{setting.variant}",
        num_classes=CLASSES,
        drop_rate=0.2,
        drop_path_rate=0.2,
    )
    images = torch.randn(setting.batch, 3, setting.resolution, setting.resolution)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    if compiled:
        network.compile()
    return network, images


def _precision(how: dict[str, bool]) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=how.get("bfloat16", False))
