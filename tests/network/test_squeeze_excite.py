import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from trees import assert_trees_close

from efficientnet.network.layers import KernelAndBias, squeeze_excite
from efficientnet.network.ops.activations import ACTIVATIONS
from efficientnet.network.ops.batch_norm import BatchNorm


class Excited(nn.Module):
    """BatchNorm, activation and squeeze-excite: as one layer, or as the layers it is made of."""

    activation: str
    whole: bool
    running: bool
    parts: int

    @nn.compact
    def __call__(self, x):
        activation = self.activation if self.whole else "linear"
        norm = BatchNorm(self.running, activation=activation, parts=self.parts, name="bn")
        reduce = KernelAndBias(2, name="block2a_se_reduce")(x.shape[-1])
        expand = KernelAndBias(x.shape[-1], name="block2a_se_expand")(2)
        if self.whole:
            y = norm(x)
            return y, squeeze_excite(y, reduce, expand, self.activation)
        act = ACTIVATIONS[self.activation]
        y = act(norm(x))
        hidden = act(jnp.mean(y, (1, 2), keepdims=True) @ reduce[0] + reduce[1])
        return y, jax.nn.sigmoid(hidden @ expand[0] + expand[1])


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
@pytest.mark.parametrize(
    ("activation", "running", "parts"),
    [("swish", False, 1), ("swish", True, 1), ("swish", False, 2), ("relu6", False, 1)],
)
def test_batch_norm_with_squeeze_excite_equals_its_parts(
    activation, running, parts, platform, monkeypatch
):
    rng = np.random.default_rng(0)
    x = rng.normal(1, 2, size=(8, 6, 5, 4)).astype(np.float32)
    one = Excited(activation, True, running, parts)
    several = Excited(activation, False, running, parts)
    variables = one.init(jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, variables["params"]) == {
        "bn": {"scale": (4,), "bias": (4,)},
        "block2a_se_reduce": {"kernel": (1, 1, 4, 2), "bias": (2,)},
        "block2a_se_expand": {"kernel": (1, 1, 2, 4), "bias": (4,)},
    }
    params = jax.tree.map(
        lambda v: rng.normal(1, 0.5, v.shape).astype(np.float32), variables["params"]
    )
    target = rng.normal(size=x.shape).astype(np.float32)

    def loss(params, x, module):
        v = {"params": params, "batch_stats": variables["batch_stats"]}
        (y, factors), updates = module.apply(v, x, mutable=["batch_stats"])
        assert factors.shape == (8, 1, 1, 4)
        return jnp.mean((y * factors - target) ** 2), updates

    run = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    wanted = run(params, x, several)
    # What other platforms than this one get must be right, too.
    monkeypatch.setattr(
        lax,
        "platform_dependent",
        lambda *args, **forms: forms.get(platform, forms["default"])(*args),
    )
    assert_trees_close(run(params, x, one), wanted, atol=1e-5, rtol=1e-4)
