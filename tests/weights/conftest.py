import pytest
from checkpoint_files import TINY

from efficientnet.network.variants import VARIANTS


@pytest.fixture
def tiny():
    """One more variant, of a few thousand parameters; the others are hidden to save time."""
    all_of_them = dict(VARIANTS)
    VARIANTS.clear()
    VARIANTS["tiny"] = TINY
    yield
    VARIANTS.clear()
    VARIANTS.update(all_of_them)
