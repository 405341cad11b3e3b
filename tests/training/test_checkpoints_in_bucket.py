"""Checkpoints in a bucket: Orbax and TensorStore are real, Google's servers are not."""

import sys
import threading
import types

import numpy as np
import pytest
from etils import epath
from etils.epath import gpath
from google_storage import Backend, Server

from efficientnet.training.checkpoints import Checkpoints, read_arrays


@pytest.fixture
def storage(monkeypatch):
    """The objects of a bucket that epath, Orbax and TensorStore take for Google's."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("TENSORSTORE_GCS_HTTP_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", "token")
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setattr(gpath.backend_lib, "tf_backend", Backend(server.storage))
        # Orbax asks Google's package what kind of bucket it is.
        kind = types.SimpleNamespace(hierarchical_namespace_enabled=False)
        client = types.SimpleNamespace(get_bucket=lambda name: kind)
        module = types.SimpleNamespace(Client=lambda: client)
        monkeypatch.setitem(sys.modules, "google.cloud", types.SimpleNamespace(storage=module))
        monkeypatch.setitem(sys.modules, "google.cloud.storage", module)
        yield server.storage
        server.shutdown()
        thread.join()


def test_checkpoints_in_a_bucket_come_back_bit_by_bit(storage):
    folder = epath.Path("gs://bucket/runs/mine/checkpoints")
    folder.mkdir(parents=True)
    values = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    best = {"stage": "head", "step": 2}
    checkpoints = Checkpoints(folder)
    assert checkpoints.resume() is None
    for step in (1, 2, 3):
        if step < 3:
            checkpoints.save_best("head", step, {"params": {"kernel": values + step}})
        progress = {"best": {**best, "step": min(step, 2)}, "history": [best], "step": step}
        checkpoints.save_latest(step, {"kernel": values * step}, progress)
    checkpoints.close()

    again = Checkpoints(folder)
    assert again.resume() == {"best": best, "history": [best], "step": 3}
    again.close()
    arrays = read_arrays(folder)
    assert sorted(arrays) == ["best/head/params/kernel", "latest/kernel"]
    np.testing.assert_array_equal(arrays["latest/kernel"], values * 3)
    np.testing.assert_array_equal(arrays["best/head/params/kernel"], values + 2)
    steps = {name.split("/")[5] for name in storage.objects if "/latest/" in name}
    assert steps - {""} == {"2", "3"}
