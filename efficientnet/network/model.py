"""EfficientNet as a plain Flax Linen module, with the layer names of Keras Applications."""

from collections.abc import Collection
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from efficientnet.network import layers
from efficientnet.network.freeze_groups import group_of
from efficientnet.network.ops.batch_norm import BatchNorm
from efficientnet.network.squeeze_excite import excitation, make_gate
from efficientnet.network.variants import Block, Variant


class EfficientNet(nn.Module):
    """EfficientNet (Tan and Le 2019, figure 2 and table 1) for images of any size.

    Parameters and BatchNorm statistics are float32 whatever `dtype` is. The activations after the
    stem, each block and the top are sown into the collection `intermediates` under the names
    `stem`, `block1a`, ..., `top`, for whoever makes that collection mutable.

    Attributes:
      variant: the row of `variants.VARIANTS` to build.
      num_classes: length of the logits.
      dropout: rate before the classifier; None takes the variant's.
      drop_connect: stochastic depth's drop rate at the last block, growing linearly from 0.
      padding: 'same' or 'symmetric'; None takes the variant's.
      bn_epsilon: added to BatchNorm's variance; None takes the variant's.
      dtype: of the computation, float32 or bfloat16.
      features_only: return the pooled features instead of logits, and have no classifier.
      classifier_only: take pooled features in place of images; only the classifier remains.
      remat: keep only what goes into each block for the gradient, and compute the rest again.
      batch_norm_parts: consecutive parts of the batch that BatchNorm's statistics are taken of, one
        by one; with one part per device none waits for another.
      head_batch_norm: normalize the features by a BatchNorm `predictions_bn` of the group
        `predictions`, as the heads of the Keras guide do.
    """

    variant: Variant
    num_classes: int = 1000
    dropout: float | None = None
    drop_connect: float = 0.2
    padding: str | None = None
    bn_epsilon: float | None = None
    dtype: Any = jnp.float32
    features_only: bool = False
    classifier_only: bool = False
    remat: bool = False
    batch_norm_parts: int = 1
    head_batch_norm: bool = False

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        training_groups: Collection[str] = (),
        batch_norm_groups: Collection[str] = (),
    ) -> jax.Array:
        """Maps normalized images to logits.

        Args:
          images: [N, H, W, C] floats, normalized as the weights expect.
          training_groups: freeze groups that run dropout and stochastic depth; they draw from the
            random stream `dropout`. Group `predictions` owns the dropout before the classifier.
          batch_norm_groups: freeze groups whose BatchNorm uses, and updates, the statistics of the
            batch instead of the running ones.

        Returns:
          Float32 logits [N, num_classes], or features [N, variant.top_filters].
        """
        x = images
        if not self.classifier_only:
            x = self.features(images, training_groups, batch_norm_groups)
        if self.features_only:
            return x
        if self.head_batch_norm:
            average = "predictions" not in batch_norm_groups
            x = BatchNorm(
                use_running_average=average, parts=self.batch_norm_parts, name="predictions_bn"
            )(x)
        rate = self.variant.dropout if self.dropout is None else self.dropout
        x = nn.Dropout(rate, deterministic="predictions" not in training_groups)(x)
        return nn.Dense(self.num_classes, kernel_init=layers.dense_kernel_init, name="predictions")(
            x
        )

    def features(
        self,
        images: jax.Array,
        training_groups: Collection[str],
        batch_norm_groups: Collection[str],
    ) -> jax.Array:
        """Everything before the classifier: images to pooled float32 features."""
        x = jnp.asarray(images, self.dtype)
        x = self.conv("stem_conv", x, self.variant.stem_filters, kernel=3, stride=2)
        x = self.batch_norm_act("stem_bn", x, batch_norm_groups)
        self.sow("intermediates", "stem", x)

        compute = type(self).block
        if self.remat:
            compute = nn.remat(compute, static_argnums=(2, 3, 5))
        blocks = self.variant.blocks()
        for index, block in enumerate(blocks):
            survival = 1.0 - self.drop_connect * index / len(blocks)
            if group_of(block.name) not in training_groups:
                survival = 1.0
            key = self.make_rng("dropout") if block.has_shortcut and survival < 1.0 else None
            with jax.named_scope(block.name):  # for profiles
                x = compute(self, x, block, survival, key, tuple(batch_norm_groups))
            self.sow("intermediates", block.name, x)

        x = self.widen("top", x, self.variant.top_filters, batch_norm_groups)
        self.sow("intermediates", "top", x)

        return jnp.mean(x, axis=(1, 2), dtype=jnp.float32)

    def block(
        self,
        x: jax.Array,
        block: Block,
        survival: float,
        key: jax.Array | None,
        batch_norm_groups: Collection[str],
    ) -> jax.Array:
        """Expand, filter each channel, excite, project, and add the shortcut (MBConv).

        With a `key`, each example's way beside the shortcut survives with probability `survival`.
        """
        name = block.name
        shortcut = x
        if block.expand_ratio != 1:
            x = self.widen(
                f"{name}_expand", x, block.filters_in * block.expand_ratio, batch_norm_groups
            )
        x = layers.DepthwiseConv(
            kernel_size=block.kernel,
            strides=block.stride,
            padding=self._padding,
            dtype=self.dtype,
            name=f"{name}_dwconv",
        )(x)
        x = self.batch_norm_act(f"{name}_bn", x, batch_norm_groups)
        factors = None
        if block.se_filters:
            gate = make_gate(name, x.shape[-1], block.se_filters)
            factors = excitation(x, gate, self.variant.activation)
        x = self.conv(f"{name}_project_conv", x, block.filters_out, gate=factors)
        x = self.batch_norm_act(f"{name}_project_bn", x, batch_norm_groups, activation="linear")
        if block.has_shortcut:
            if key is not None:
                x = layers.stochastic_depth(x, survival, key)
            x = x + shortcut
        return x

    def widen(
        self, name: str, x: jax.Array, filters: int, batch_norm_groups: Collection[str]
    ) -> jax.Array:
        """A 1x1 convolution to more channels, BatchNorm and activation.

        In training they are one function, which takes the statistics of many channels from few.
        """
        if group_of(name) not in batch_norm_groups:
            x = self.conv(f"{name}_conv", x, filters)
            return self.batch_norm_act(f"{name}_bn", x, batch_norm_groups)
        kernel = layers.PointwiseKernel(filters, name=f"{name}_conv")(x.shape[-1])
        return self.batch_norm_act(f"{name}_bn", x, batch_norm_groups, kernel=kernel)

    def conv(
        self,
        name: str,
        x: jax.Array,
        filters: int,
        kernel: int = 1,
        stride: int = 1,
        gate: jax.Array | None = None,
    ) -> jax.Array:
        """A dense convolution named as in Keras Applications."""
        return layers.Conv(
            features=filters,
            kernel_size=kernel,
            strides=stride,
            padding=self._padding,
            dtype=self.dtype,
            name=name,
        )(x, gate)

    def batch_norm_act(
        self,
        name: str,
        x: jax.Array,
        batch_norm_groups: Collection[str],
        activation: str | None = None,
        kernel: jax.Array | None = None,
    ) -> jax.Array:
        """BatchNorm by the batch's statistics in `batch_norm_groups`, else by the running ones.

        The activation after it, by default the variant's, is part of the layer: so the gradient
        needs no more than the layer's input. With a `kernel`, `x` is convolved with it first.
        """
        epsilon = self.variant.bn_epsilon if self.bn_epsilon is None else self.bn_epsilon
        return BatchNorm(
            use_running_average=group_of(name) not in batch_norm_groups,
            epsilon=epsilon,
            activation=activation or self.variant.activation,
            parts=self.batch_norm_parts,
            dtype=self.dtype,
            name=name,
        )(x, kernel)

    @property
    def _padding(self) -> str:
        return self.variant.padding if self.padding is None else self.padding


def init_variables(model: EfficientNet, rng: jax.Array, channels: int = 3) -> dict[str, Any]:
    """Returns freshly initialized `{'params': ..., 'batch_stats': ...}` without running the model.

    Args:
      model: the network.
      rng: a PRNG key.
      channels: of the input images, 3 for color or 1 for gray.
    """
    images = jax.ShapeDtypeStruct((1, 32, 32, channels), jnp.float32)
    # As one program: hundreds of small ones take longer to compile, and are not cached.
    variables = jax.jit(lambda key: model.lazy_init(key, images))(rng)
    return {name: variables[name] for name in ("params", "batch_stats")}
