#!/usr/bin/env python3
"""Compares whole compiled networks with PyTorch, on the same weights under their torchvision names.

Exit code 0: all agree; 1: some do not; 77: PyTorch is not installed.
"""

import pathlib
import sys
import tempfile

from harness import ROOT, TOLERANCE, WEIGHTS, Failure, arguments, compile_network, largest_error, reference
from harness import np, run_network, save_file, torch, torchvision

sys.path.insert(0, str(ROOT / "examples/digits"))
from model import Digits  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

NETWORKS = [
    "digits", "resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d", "resnext101_32x8d",
    "wide_resnet50_2", "vgg11", "vgg16_bn", "mobilenet_v2", "squeezenet1_1", "densenet121", "densenet161",
    "densenet169", "densenet201", "googlenet", "shufflenet_v2_x1_0", "alexnet", "mnasnet1_0", "regnet_x_400mf",
    "regnet_y_400mf", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0", "convnext_tiny", "inception_v3",
    "highway", "preact_resnet164", "regnet_x_800mf", "regnet_x_1_6gf", "regnet_x_3_2gf", "regnet_y_800mf",
    "regnet_y_1_6gf", "regnet_y_3_2gf",
]
NO_TRAINING = {"aux_logits": False, "init_weights": True, "transform_input": False}
OPTIONS = {"googlenet": NO_TRAINING, "inception_v3": NO_TRAINING}  # of torchvision's constructors
SIZES = {"inception_v3": 299, "highway": 32, "preact_resnet164": 32}  # height and width that are not 224


class Highway(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.transform = torch.nn.Conv2d(channels, channels, 3, padding=1)
        self.gate = torch.nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        t = self.gate(x).sigmoid()
        return self.transform(x).relu() * t + x * (1 - t)


class HighwayStage(torch.nn.Sequential):
    def __init__(self, inputs, channels, depth):
        super().__init__(*(Highway(channels) for _ in range(depth)))
        self.stem = torch.nn.Conv2d(inputs, channels, 3, padding=1)

    def forward(self, x):
        x = self.stem(x).relu()
        for name, layer in self.named_children():
            x = x if name == "stem" else layer(x)
        return torch.nn.functional.max_pool2d(x, 2)


class HighwayNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stage1, self.stage2 = HighwayStage(3, 16, 5), HighwayStage(16, 32, 5)
        self.stage3, self.fc = HighwayStage(32, 48, 5), torch.nn.Linear(48, 10)

    def forward(self, x):
        return self.fc(self.stage3(self.stage2(self.stage1(x))).mean((2, 3)))


class PreActBottleneck(torch.nn.Module):
    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.bn1, self.conv1 = torch.nn.BatchNorm2d(inputs), torch.nn.Conv2d(inputs, channels, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(channels)
        self.conv2 = torch.nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn3, self.conv3 = torch.nn.BatchNorm2d(channels), torch.nn.Conv2d(channels, 4 * channels, 1, bias=False)
        if stride != 1 or inputs != 4 * channels:
            self.shortcut = torch.nn.Conv2d(inputs, 4 * channels, 1, stride, bias=False)

    def forward(self, x):
        a = self.bn1(x).relu()
        y = self.conv3(self.bn3(self.conv2(self.bn2(self.conv1(a)).relu())).relu())
        return y + (self.shortcut(a) if hasattr(self, "shortcut") else x)


class PreActResNet164(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 16, 3, padding=1, bias=False)
        inputs = 16
        for stage, channels in enumerate((16, 32, 64)):
            blocks = []
            for i in range(18):
                blocks.append(PreActBottleneck(inputs, channels, 2 if stage > 0 and i == 0 else 1))
                inputs = 4 * channels
            setattr(self, f"layer{stage + 1}", torch.nn.Sequential(*blocks))
        self.bn, self.fc = torch.nn.BatchNorm2d(inputs), torch.nn.Linear(inputs, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return self.fc(self.bn(x).relu().mean((2, 3)))


OWN = {"highway": HighwayNet, "preact_resnet164": PreActResNet164}  # those that torchvision has not


def randomise(model, size, generator):
    """Gives a fresh model batch-norm parameters and statistics like a trained one's: scales and shifts away from 1 and
    0, and statistics near those of its activations, so that the signal neither dies nor explodes over the depth."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("layer_scale"):  # of ConvNeXt; as fresh, 1e-6, its branches hardly count
                parameter.uniform_(0.1, 0.5, generator=generator)
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5, generator=generator)
            norm.bias.normal_(0, 0.3, generator=generator)
            norm.momentum = None  # plain average over the batches seen
            norm.reset_running_stats()
        model.train()
        model(picture(2, size, generator))
        model.eval()
        for norm in norms:
            deviation = norm.running_var.sqrt()
            norm.running_mean += 0.2 * deviation * torch.randn(deviation.shape, generator=generator)
            norm.running_var *= torch.empty(deviation.shape).uniform_(0.7, 1.4, generator=generator)


def picture(count, size, generator):
    """Smooth blobs and noise: an input with structure that survives pooling, as a photograph's does."""
    blobs = torch.randn(count, 3, 7, 7, generator=generator)
    smooth = torch.nn.functional.interpolate(blobs, size=(size, size), mode="bilinear", align_corners=False)
    return smooth + 0.5 * torch.randn(count, 3, size, size, generator=generator)


def prepare(name, size, seed):
    """The model in evaluation mode, its input, and the .nn file of the same network."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    if name == "digits":
        model = Digits().eval()
        model.load_state_dict(load_file(ROOT / "examples/digits/data/digits.safetensors"), strict=False)
        image = np.load(ROOT / "examples/digits/data/images.npy")[:1]
        return model, torch.from_numpy(image), ROOT / "examples/digits/digits.nn"
    model = OWN[name]() if name in OWN else torchvision.models.get_model(name, **OPTIONS.get(name, {}))
    randomise(model, size, generator)
    return model, picture(1, size, generator), ROOT / f"examples/networks/{name}.nn"


def multiply_adds(model, x):
    """Of the convolutions and the linear layers for input X."""
    total = 0

    def count(module, _, output):
        nonlocal total
        per_output = module.weight[0].numel()
        total += output.numel() * per_output

    layers = [m for m in model.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return total


def compare(name, args, directory):
    """One row of the table; raises Failure where the two disagree."""
    tool, size = args.cardinal.resolve(), args.size or SIZES.get(name, 224)
    model, x, source = prepare(name, size, seed=NETWORKS.index(name))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, directory / WEIGHTS)
    settings = [f"size={size}"] if args.size and name != "digits" else []
    so, seconds = compile_network(tool, source, directory, args.target, settings)

    parameters = sum(p.numel() for p in model.parameters())
    macs = multiply_adds(model, x)
    y = run_network(tool, so, x, directory)
    error = largest_error(y, reference(model, x))
    shape = "x".join(str(extent) for extent in x.shape)
    print(
        f"{name:<18} {shape:>12} {parameters / 1e6:>8.2f} M {macs / 1e9:>7.3f} {error:>13.2e}"
        f" {seconds:>9.2f} {so.stat().st_size / 1e6:>7.1f}",
        flush=True,
    )
    if error > TOLERANCE:
        raise Failure(f"the largest error is {error:.2e} of the largest logit; at most {TOLERANCE:.0e} is allowed")
    if run_network(tool, so, x, directory, threads=2).tobytes() != y.tobytes():
        raise Failure("two threads do not give the bits that one thread gives")


def main():
    parser = arguments(__doc__)
    parser.add_argument("--networks", default=",".join(NETWORKS), help="comma-separated; default: all")
    parser.add_argument("--size", type=int, help="height and width of the input; default: the network's own")
    args = parser.parse_args()
    names = args.networks.split(",")
    for name in names:
        if name not in NETWORKS:
            parser.error(f"no network is called '{name}'; there are {', '.join(NETWORKS)}")

    titles = [("network", "<18"), ("input", ">12"), ("parameters", ">10"), ("GMACs", ">7")]
    titles += [("largest error", ">13"), ("compile s", ">9"), (".so MB", ">7")]
    print(*(format(title, width) for title, width in titles))
    failures = 0
    for name in names:
        with tempfile.TemporaryDirectory() as directory:
            try:
                compare(name, args, pathlib.Path(directory))
            except Failure as failure:
                print(f"{name}: FAILED: {failure}", flush=True)
                failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
