#!/usr/bin/env python3
"""Compares whole compiled networks with PyTorch, on the same weights under the same names: torchvision's convolutional
networks, all of them, those of models.py, and the digits example.

Exit code 0: all agree; 1: some do not; 77: PyTorch is not installed.
"""

import dataclasses
import fnmatch
import os
import pathlib
import re
import sys
import tempfile

from harness import ROOT, TOLERANCE, WEIGHTS, Failure, arguments, code_bytes, compile_network, largest_error, reference
from harness import np, run_network, save_file, torch, torchvision
from table import Row, update

sys.path.insert(0, str(ROOT / "examples/digits"))
from model import Digits  # noqa: E402
from newer import ResNeStBlock  # noqa: E402
from references import REFERENCES, Reference  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

NOT_COMPARED = (
    "vit_", "swin_", "maxvit_",  # transformers
    "regnet_y_128gf",  # 645 million parameters, for which PyTorch needs 8 GB in 64 bits
)
NO_TRAINING = {"aux_logits": False, "init_weights": True}
OPTIONS = {"googlenet": NO_TRAINING, "inception_v3": NO_TRAINING}  # of torchvision's constructors
ODD_SIZES = {"inception_v3": 131}


def declarations():
    """Of each network in examples/networks: its file and its parameters' text, in the files' order."""
    found = {}
    for source in sorted((ROOT / "examples/networks").glob("*.nn")):
        for name, parameters in re.findall(r"^network (\w+)(?:\(([^)]*)\))?", source.read_text(), re.MULTILINE):
            found[name] = (source, parameters)
    return found


DECLARED = declarations()


@dataclasses.dataclass
class Case:
    """A row of the table: a network of a .nn file and its like in PyTorch."""

    name: str
    like: Reference
    source: pathlib.Path = ROOT / "examples/digits/digits.nn"
    size: int = 0  # height and width

    @property
    def network(self):
        return self.like.network or self.name


def torchvision_case(name):
    make = lambda: torchvision.models.get_model(name, **OPTIONS.get(name, {}))  # noqa: E731
    return name, Reference(make, odd_size=ODD_SIZES.get(name, 97))


def cases():
    """All, in the order of the .nn files."""
    names = torchvision.models.list_models(module=torchvision.models)
    likes = dict(torchvision_case(name) for name in names if not name.startswith(NOT_COMPARED))
    found = [Case("digits", Reference(Digits, shape=(1, 1, 8, 8)))]
    for name, like in {**likes, **REFERENCES}.items():
        network = like.network or name
        if network not in DECLARED:
            sys.exit(f"no file of examples/networks has a network called {network}")
        source, parameters = DECLARED[network]
        size = re.search(r"\bsize: int = (\d+)", parameters)
        found.append(Case(name, like, source, int(size[1]) if size else 0))
    position = {network: i for i, network in enumerate(DECLARED)}
    return sorted(found, key=lambda case: position.get(case.network, -1))


def randomise(model, x, generator):
    """Gives a fresh model batch-norm parameters and statistics like a trained one's: scales and shifts away from 1 and
    0, and statistics near those of its activations, so that the signal neither dies nor explodes over the depth."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("layer_scale"):  # of ConvNeXt; as fresh, 1e-6, its branches hardly count
                parameter.uniform_(0.1, 0.5, generator=generator)
            if name.endswith(("fc1.weight", "fc2.weight")) and parameter.dim() == 4:
                # Gates of squeeze-and-excitation; as fresh, they open and close with the image, and so scale it by 1e3.
                parameter.normal_(0, parameter.shape[1] ** -0.5, generator=generator)
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5, generator=generator)
            norm.bias.normal_(0, 0.3, generator=generator)
            norm.momentum = None  # plain average over the batches seen
            norm.reset_running_stats()
        for block in model.modules():
            if isinstance(block, (torchvision.models.resnet.Bottleneck, ResNeStBlock)):
                # As trained, blocks change their input little; fifty at full strength amplify rounding a hundredfold.
                block.bn3.weight *= 0.3
        model.train()
        model(x)
        model.eval()
        for norm in norms:
            deviation = norm.running_var.sqrt()
            norm.running_mean += 0.2 * deviation * torch.randn(deviation.shape, generator=generator)
            norm.running_var *= torch.empty(deviation.shape).uniform_(0.7, 1.4, generator=generator)
    if hasattr(model, "initialise"):
        model.initialise()


def picture(shape, generator):
    """Smooth blobs and noise: an input with structure that survives pooling, as a photograph's does."""
    blobs = torch.randn(*shape[:2], 7, 7, generator=generator)
    smooth = torch.nn.functional.interpolate(blobs, size=shape[2:], mode="bilinear", align_corners=False)
    return smooth + 0.5 * torch.randn(*shape, generator=generator)


def prepare(case):
    """The model in evaluation mode, and its input."""
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(1)
    model = case.like.make()
    if case.name == "digits":
        model.load_state_dict(load_file(ROOT / "examples/digits/data/digits.safetensors"), strict=False)
        return model.eval(), torch.from_numpy(np.load(ROOT / "examples/digits/data/images.npy")[:1])
    first = next(m for m in model.modules() if isinstance(m, torch.nn.Conv2d))
    shape = case.like.shape or (1, first.in_channels, case.size, case.size)
    # Statistics of few pictures fit them so closely that any other is blown up; of small ones many cost little.
    seen = [extent // 2 if case.like.odd_size and not case.like.shape else extent for extent in shape[2:]]
    randomise(model, picture((8, shape[1], *seen), generator), generator)
    return model, picture(shape, generator)


def answer(model, x):
    """PyTorch's answer for X in float64, and the multiply-adds of the convolutions and linear layers for one image."""
    total = 0

    def count(module, _, output):
        nonlocal total
        total += output[0].numel() * module.weight[0].numel()

    layers = [m for m in model.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    y = reference(model, x)
    for hook in hooks:
        hook.remove()
    return y, total


@dataclasses.dataclass
class Measured:
    error: float  # of the largest logit
    macs: int
    seconds: float  # of processor time to compile
    code: int  # bytes


def measure(case, model, x, args, directory, settings):
    """Compiles and runs the network for inputs of X's size; raises Failure where it does not do what PyTorch does."""
    tool = args.cardinal.resolve()
    settings = {**case.like.settings, **settings}
    so, seconds = compile_network(tool, case.source, directory, args.target, case.network, settings)
    y = run_network(tool, so, x, directory)
    if run_network(tool, so, x, directory, threads=2).tobytes() != y.tobytes():
        raise Failure("two threads do not give the bits that one thread gives")
    expected, macs = answer(model, x)
    error = largest_error(y, expected)
    if error > TOLERANCE:
        shape = "x".join(str(extent) for extent in x.shape)
        raise Failure(f"on {shape} the largest error is {error:.2e} of the largest logit; {TOLERANCE:.0e} is allowed")
    return Measured(error, macs, seconds, code_bytes(tool, so, directory))


def compare(case, args, directory):
    """One row of the table; raises Failure where the two disagree."""
    model, x = prepare(case)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, directory / WEIGHTS)
    parameters = sum(p.numel() for p in model.parameters())
    own, odd = measure(case, model, x, args, directory, {}), None
    odd_size = case.like.odd_size if case.size else None
    if odd_size:
        small = picture((*x.shape[:2], odd_size, odd_size), torch.Generator().manual_seed(2))
        odd = measure(case, model, small, args, directory, {"size": odd_size}).error
    source = os.path.relpath(case.source, ROOT / "docs")
    shape = tuple(x.shape)
    return Row(case.name, source, shape, parameters, own.macs, own.error, odd_size, odd, own.seconds, own.code)


def chosen(args, everything):
    """The cases whose names fit one of --networks' patterns, of those the ones of --shard."""
    patterns = [pattern.strip() for pattern in args.networks.split(",")]
    for pattern in patterns:
        if not any(fnmatch.fnmatch(case.name, pattern) for case in everything):
            sys.exit(f"no network is called '{pattern}'; there are {', '.join(case.name for case in everything)}")
    found = [case for case in everything if any(fnmatch.fnmatch(case.name, pattern) for pattern in patterns)]
    index, count = (int(number) for number in args.shard.split("/"))
    return found[index - 1 :: count]


def main():
    parser = arguments(__doc__)
    parser.add_argument("--networks", default="*", help="names or patterns with *, separated by commas; default: all")
    parser.add_argument("--shard", default="1/1", help="I/N: every N-th of them, from the I-th")
    parser.add_argument("--table", type=pathlib.Path, help="the page whose table is to be brought up to date")
    args = parser.parse_args()

    everything, failures = cases(), 0
    names = [case.name for case in everything]
    print(Row.titles(), flush=True)
    for case in chosen(args, everything):
        with tempfile.TemporaryDirectory() as directory:
            try:
                row = compare(case, args, pathlib.Path(directory))
                print(row.text(), flush=True)
                if args.table:
                    update(args.table, row, names)
            except Failure as failure:
                print(f"{case.name}: FAILED: {failure}", flush=True)
                failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
