"""The chapter's networks as a user of JAX writes them ("Dive into Deep Learning", section 8.6)."""

import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

import cases

jax.config.update("jax_enable_x64", True)  # for the exact answer


class Residual(nn.Module):
    num_channels: int
    use_1x1conv: bool = False
    strides: tuple = (1, 1)
    training: bool = True

    def setup(self):
        self.conv1 = nn.Conv(self.num_channels, kernel_size=(3, 3), padding="same", strides=self.strides)
        self.conv2 = nn.Conv(self.num_channels, kernel_size=(3, 3), padding="same")
        if self.use_1x1conv:
            self.conv3 = nn.Conv(self.num_channels, kernel_size=(1, 1), strides=self.strides)
        else:
            self.conv3 = None
        self.bn1 = nn.BatchNorm(not self.training)
        self.bn2 = nn.BatchNorm(not self.training)

    def __call__(self, X):
        Y = nn.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        if self.conv3:
            X = self.conv3(X)
        Y += X
        return nn.relu(Y)


class ResNeXtBlock(nn.Module):
    num_channels: int
    groups: int
    bot_mul: int
    use_1x1conv: bool = False
    strides: tuple = (1, 1)
    training: bool = True

    def setup(self):
        bot_channels = int(round(self.num_channels * self.bot_mul))
        self.conv1 = nn.Conv(bot_channels, kernel_size=(1, 1), strides=(1, 1))
        self.conv2 = nn.Conv(
            bot_channels,
            kernel_size=(3, 3),
            strides=self.strides,
            padding="same",
            feature_group_count=bot_channels // self.groups,
        )
        self.conv3 = nn.Conv(self.num_channels, kernel_size=(1, 1), strides=(1, 1))
        self.bn1 = nn.BatchNorm(not self.training)
        self.bn2 = nn.BatchNorm(not self.training)
        self.bn3 = nn.BatchNorm(not self.training)
        if self.use_1x1conv:
            self.conv4 = nn.Conv(self.num_channels, kernel_size=(1, 1), strides=self.strides)
            self.bn4 = nn.BatchNorm(not self.training)
        else:
            self.conv4 = None

    def __call__(self, X):
        Y = nn.relu(self.bn1(self.conv1(X)))
        Y = nn.relu(self.bn2(self.conv2(Y)))
        Y = self.bn3(self.conv3(Y))
        if self.conv4:
            X = self.bn4(self.conv4(X))
        return nn.relu(Y + X)


class ResNet(nn.Module):
    arch: tuple
    num_classes: int = 10
    training: bool = True

    def setup(self):
        self.net = self.create_net()

    def b1(self):
        return nn.Sequential(
            [
                nn.Conv(self.arch[0][1], kernel_size=(7, 7), strides=(2, 2), padding="same"),
                nn.BatchNorm(not self.training),
                nn.relu,
                lambda x: nn.max_pool(x, window_shape=(3, 3), strides=(2, 2), padding="same"),
            ]
        )

    def block(self, num_residuals, num_channels, first_block=False):
        blk = []
        for i in range(num_residuals):
            if i == 0 and not first_block:
                blk.append(Residual(num_channels, use_1x1conv=True, strides=(2, 2), training=self.training))
            else:
                blk.append(Residual(num_channels, training=self.training))
        return nn.Sequential(blk)

    def create_net(self):
        net = nn.Sequential([self.b1()])
        for i, b in enumerate(self.arch):
            net.layers.extend([self.block(*b, first_block=(i == 0))])
        net.layers.extend(
            [
                nn.Sequential(
                    [
                        lambda x: nn.avg_pool(x, window_shape=x.shape[1:3], strides=x.shape[1:3], padding="valid"),
                        lambda x: x.reshape((x.shape[0], -1)),
                        nn.Dense(self.num_classes),
                    ]
                )
            ]
        )
        return net

    def __call__(self, X):
        return self.net(X)


class Tiny(nn.Module):
    """What Flax does in its own way."""

    training: bool = True

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(8, kernel_size=(3, 3), strides=(2, 2))(x)
        x = nn.BatchNorm(not self.training)(x)
        x = nn.gelu(x)
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")
        x = nn.Conv(16, kernel_size=(3, 3), strides=(2, 2), feature_group_count=8)(x)
        x = nn.LayerNorm()(x)
        x = nn.leaky_relu(x)
        x = nn.Conv(12, kernel_size=(5, 2))(x)
        x = nn.BatchNorm(not self.training)(x)
        x = nn.avg_pool(x, (2, 2), strides=(1, 1), padding="SAME")
        x = x.reshape((x.shape[0], -1))
        return nn.Dense(10)(x)


NETWORKS = {
    "residual": lambda: Residual(3, training=False),
    "residual_projected": lambda: Residual(6, use_1x1conv=True, training=False),
    "residual_halving": lambda: Residual(6, use_1x1conv=True, strides=(2, 2), training=False),
    "resnext": lambda: ResNeXtBlock(16, 4, 1, training=False),
    "resnext_projected": lambda: ResNeXtBlock(12, 8, 2, use_1x1conv=True, training=False),
    "resnext_halving": lambda: ResNeXtBlock(24, 4, 0.5, use_1x1conv=True, strides=(2, 2), training=False),
    "tiny": lambda: Tiny(training=False),
    "small_resnet": lambda: ResNet(cases.SMALL_RESNET, training=False),
    "resnet18": lambda: ResNet(cases.RESNET18, training=False),
}


def save(make, x, draw, stem):
    network = make()
    shapes = flax.traverse_util.flatten_dict(jax.eval_shape(network.init, jax.random.key(0), x), sep="/")
    weights = {name: draw(name, value.shape) for name, value in shapes.items()}
    variables = flax.traverse_util.unflatten_dict(weights, sep="/")

    with open(stem + ".msgpack", "wb") as file:
        file.write(flax.serialization.to_bytes(variables))
    np.savez(stem + ".npz", **flax.traverse_util.flatten_dict(variables, sep="/"))
    exact = jax.tree.map(lambda value: value.astype(np.float64), variables)
    return np.asarray(jax.jit(network.apply)(exact, jnp.asarray(x, jnp.float64)))


if __name__ == "__main__":
    cases.main(NETWORKS, channels_last=True, save=save)
