"""The Hub of `hub_server` in place of the real one, for tests in this process."""

import contextlib
import importlib
import pathlib
from collections.abc import Iterator

import hub_server
import pytest

huggingface_hub = pytest.importorskip("huggingface_hub", reason="needs pip install '.[hub]'")
constants = importlib.import_module("huggingface_hub.constants")


@contextlib.contextmanager
def hub_in(folder: pathlib.Path) -> Iterator[hub_server.Server]:
    """Yields a Hub whose downloads are kept below a folder.

    huggingface_hub reads its environment variables when it is imported, so that here its constants
    are replaced too.
    """
    with hub_server.running() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "ENDPOINT": server.endpoint,
            "HUGGINGFACE_CO_URL_TEMPLATE": server.endpoint
            + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(folder / "hub"),
            "HF_TOKEN_PATH": str(folder / "token"),
            "HF_HUB_OFFLINE": False,
        }.items():
            patch.setattr(constants, name, value)
        patch.setenv("HF_ENDPOINT", server.endpoint)  # for the processes of a test
        patch.setenv("HF_HOME", str(folder))
        patch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        patch.setenv("no_proxy", "*")
        patch.delenv("HF_TOKEN", raising=False)
        yield server
        huggingface_hub.close_session()
