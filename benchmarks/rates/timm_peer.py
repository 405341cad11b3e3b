"""timm on PyTorch, in the ways in which its users run it, on a GPU where PyTorch finds one."""

from collections.abc import Callable
from typing import Any

import timm
import torch

from benchmarks.rates.workload import CLASSES, Setting, Workload, repeated

ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")


def infer(setting: Setting, **how: bool) -> Workload:
    """A forward pass of the network in evaluation mode; see `_network` for `how`."""
    network, images = _network(setting, **how)
    network.eval()

    def step() -> None:
        with torch.inference_mode(), _precision(how):
            network(images)
        if ON_GPU:
            torch.cuda.synchronize()

    return _workload(step, setting)


def train(setting: Setting, **how: bool) -> Workload:
    """A step of SGD with momentum that trains everything; see `_network` for `how`."""
    network, images = _network(setting, **how)
    network.train()
    targets = torch.randint(0, CLASSES, (setting.batch,), device=DEVICE)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=1e-4, momentum=0.9, nesterov=True, fused=ON_GPU
    )
    objective = torch.nn.CrossEntropyLoss(label_smoothing=0.1)

    def step() -> None:
        optimizer.zero_grad()
        with _precision(how):
            loss = objective(network(images), targets)
        loss.backward()
        optimizer.step()
        loss.item()

    return _workload(step, setting)


def _network(
    setting: Setting, *, channels_last: bool = False, compiled: bool = False, bfloat16: bool = False
) -> tuple[Any, torch.Tensor]:
    del bfloat16  # see _precision
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = setting.matmul_precision != "highest"
    torch.set_float32_matmul_precision(
        "highest" if setting.matmul_precision == "highest" else "high"
    )
    network = timm.create_model(
        f"efficientnet_{setting.variant}",
        num_classes=CLASSES,
        drop_rate=0.2,
        drop_path_rate=0.2,
    ).to(DEVICE)
    side = setting.resolution
    images = torch.randn(setting.batch, 3, side, side, device=DEVICE)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    if compiled:
        network.compile()
    return network, images


def _precision(how: dict[str, bool]) -> torch.autocast:
    return torch.autocast(DEVICE.type, torch.bfloat16, enabled=how.get("bfloat16", False))


def _workload(step: Callable[[], None], setting: Setting) -> Workload:
    run = repeated(step, setting.batch)
    facts: dict[str, Any] = {"device": "cpu"}
    if ON_GPU:
        peak = torch.cuda.max_memory_allocated() / 1e6
        name = torch.cuda.get_device_name()
        facts = {"device": name, "peak_device_memory_mb": round(peak, 1)}
    return Workload(run, ("torch", "timm"), torch.get_num_threads(), facts)
