"""The chapter's networks as a user of MXNet writes them ("Dive into Deep Learning", section 8.6)."""

import numpy

numpy.bool = bool  # MXNet 1.9.1 uses the name that NumPy 1.24 dropped

import mxnet as mx  # noqa: E402
from mxnet import np, npx  # noqa: E402
from mxnet.gluon import nn  # noqa: E402

import cases  # noqa: E402

npx.set_np()


class Residual(nn.Block):
    def __init__(self, num_channels, use_1x1conv=False, strides=1, **kwargs):
        super().__init__(**kwargs)
        self.conv1 = nn.Conv2D(num_channels, kernel_size=3, padding=1, strides=strides)
        self.conv2 = nn.Conv2D(num_channels, kernel_size=3, padding=1)
        if use_1x1conv:
            self.conv3 = nn.Conv2D(num_channels, kernel_size=1, strides=strides)
        else:
            self.conv3 = None
        self.bn1 = nn.BatchNorm()
        self.bn2 = nn.BatchNorm()

    def forward(self, X):
        Y = npx.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        if self.conv3:
            X = self.conv3(X)
        return npx.relu(Y + X)


class ResNeXtBlock(nn.Block):
    def __init__(self, num_channels, groups, bot_mul, use_1x1conv=False, strides=1, **kwargs):
        super().__init__(**kwargs)
        bot_channels = int(round(num_channels * bot_mul))
        self.conv1 = nn.Conv2D(bot_channels, kernel_size=1, padding=0, strides=1)
        self.conv2 = nn.Conv2D(bot_channels, kernel_size=3, padding=1, strides=strides, groups=bot_channels // groups)
        self.conv3 = nn.Conv2D(num_channels, kernel_size=1, padding=0, strides=1)
        self.bn1 = nn.BatchNorm()
        self.bn2 = nn.BatchNorm()
        self.bn3 = nn.BatchNorm()
        if use_1x1conv:
            self.conv4 = nn.Conv2D(num_channels, kernel_size=1, strides=strides)
            self.bn4 = nn.BatchNorm()
        else:
            self.conv4 = None

    def forward(self, X):
        Y = npx.relu(self.bn1(self.conv1(X)))
        Y = npx.relu(self.bn2(self.conv2(Y)))
        Y = self.bn3(self.conv3(Y))
        if self.conv4:
            X = self.bn4(self.conv4(X))
        return npx.relu(Y + X)


class ResNet(nn.Block):
    def __init__(self, arch, num_classes=10):
        super().__init__()
        self.net = nn.Sequential()
        self.net.add(self.b1(arch[0][1]))
        for i, b in enumerate(arch):
            self.net.add(self.block(*b, first_block=(i == 0)))
        self.net.add(nn.GlobalAvgPool2D(), nn.Dense(num_classes))

    def b1(self, num_channels):
        net = nn.Sequential()
        net.add(
            nn.Conv2D(num_channels, kernel_size=7, strides=2, padding=3),
            nn.BatchNorm(),
            nn.Activation("relu"),
            nn.MaxPool2D(pool_size=3, strides=2, padding=1),
        )
        return net

    def block(self, num_residuals, num_channels, first_block=False):
        blk = nn.Sequential()
        for i in range(num_residuals):
            if i == 0 and not first_block:
                blk.add(Residual(num_channels, use_1x1conv=True, strides=2))
            else:
                blk.add(Residual(num_channels))
        return blk

    def forward(self, X):
        return self.net(X)


def tiny():
    """What MXNet does in its own way."""
    net = nn.HybridSequential()
    net.add(
        nn.Conv2D(8, kernel_size=3, strides=2, padding=1),
        nn.BatchNorm(),
        nn.GELU(),
        nn.MaxPool2D(pool_size=3, strides=2, padding=1, ceil_mode=True),
        nn.Conv2D(16, kernel_size=3, strides=2, padding=1, groups=8),
        nn.LayerNorm(axis=1),
        nn.LeakyReLU(0.01),
        nn.Conv2D(12, kernel_size=(5, 2), padding=(2, 1)),
        nn.BatchNorm(),
        nn.AvgPool2D(pool_size=2, strides=1, padding=1),
        nn.Dense(10),
    )
    return net


NETWORKS = {
    "residual": lambda: Residual(3),
    "residual_projected": lambda: Residual(6, use_1x1conv=True),
    "residual_halving": lambda: Residual(6, use_1x1conv=True, strides=2),
    "resnext": lambda: ResNeXtBlock(16, 4, 1),
    "resnext_projected": lambda: ResNeXtBlock(12, 8, 2, use_1x1conv=True),
    "resnext_halving": lambda: ResNeXtBlock(24, 4, 0.5, use_1x1conv=True, strides=2),
    "tiny": tiny,
    "small_resnet": lambda: ResNet(cases.SMALL_RESNET),
    "resnet18": lambda: ResNet(cases.RESNET18),
}


def save(make, x, draw, stem):
    network = make()
    network.initialize()
    network(np.array(x))  # gives the layers their shapes
    for name, parameter in network._collect_params_with_prefix().items():
        parameter.set_data(np.array(draw(name, parameter.shape)))

    network.save_parameters(stem + ".params")
    weights = npx.load(stem + ".params")
    numpy.savez(stem + ".npz", **{name: value.asnumpy() for name, value in weights.items()})
    network.cast("float64")
    output = network(np.array(x, dtype="float64")).asnumpy()

    # The same weights with the marks of a saved symbol, as MXNet wrote them before it had a NumPy interface.
    npx.reset_np()
    running = ("running_mean", "running_var")
    marked = {("aux:" if name.endswith(running) else "arg:") + name: mx.nd.array(value.asnumpy())
              for name, value in weights.items()}
    mx.nd.save(stem + "-0000.params", marked)
    npx.set_np()
    return output


if __name__ == "__main__":
    cases.main(NETWORKS, channels_last=False, save=save)
