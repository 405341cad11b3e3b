import pytest
from checkpoint_files import TINY

from efficientnet.network import variants


@pytest.fixture
def tiny(monkeypatch):
    """One more variant, of a few thousand parameters; the others are hidden to save time."""
    for name in list(variants.VARIANTS):
        monkeypatch.delitem(variants.VARIANTS, name)
    monkeypatch.setitem(variants.VARIANTS, "tiny", TINY)
