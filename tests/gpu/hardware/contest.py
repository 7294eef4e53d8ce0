"""One network against PyTorch on a GPU: is it right, and how fast is it beside three ways to run PyTorch?"""

import contextlib

import measure
import seeded
import torch
import torchvision
from bridge import GpuError
from torch.nn.utils.fusion import fuse_conv_bn_eval

RUNS = {1: 200}  # of a batch in each round
OTHER_RUNS = 20
WARM_UP = 10


def reference_model(name):
    """torchvision's, with the weights that the compiled network has."""
    model = getattr(torchvision.models, name)()
    state = seeded.state({key: value.shape for key, value in model.state_dict().items()})
    model.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()}, strict=False)
    return model.eval()


def fold_batch_norms(model):
    """Into the convolutions defined before them, as every compiler does. Changes MODEL."""
    convolution = None
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.BatchNorm2d):
                owner, at = convolution
                setattr(owner, at, fuse_conv_bn_eval(getattr(owner, at), child))
                setattr(module, name, torch.nn.Identity())
            elif isinstance(child, torch.nn.Conv2d):
                convolution = module, name
    return model


class Contender:
    """Runs on input number i; `run` queues work on the current stream."""

    def __init__(self, name, run):
        self.measurement = measure.Measurement(name)
        self.run = run


class Graphs:
    """A model captured once for each input."""

    def __init__(self, model, inputs):
        self.graphs = []
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                model(inputs[0])
        torch.cuda.current_stream().wait_stream(stream)
        pool = torch.cuda.graph_pool_handle()
        for x in inputs:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool):
                model(x)
            self.graphs.append(graph)

    def __call__(self, i):
        self.graphs[i % len(self.graphs)].replay()


def eager(model, inputs):
    return lambda i: model(inputs[i % len(inputs)])


def compiled(model, inputs):
    import torch._dynamo
    import torch._inductor.config as config

    config.freezing = True
    # Networks of one class share what Dynamo learnt: without the reset a second batch size would be compiled as any size.
    torch._dynamo.reset()
    fast = torch.compile(model, mode="max-autotune", dynamic=False)
    for x in inputs:
        fast(x)
    return eager(fast, inputs)


def baselines(name, inputs, with_compile):
    """Each is made on its own: one that cannot be made does not stop the others."""
    def on_gpu(model):
        return model.cuda().half().to(memory_format=torch.channels_last)

    makers = [("PyTorch eager, cuDNN", lambda: eager(on_gpu(reference_model(name)), inputs)),
              ("PyTorch folded, CUDA graph", lambda: Graphs(on_gpu(fold_batch_norms(reference_model(name))), inputs))]
    if with_compile:
        makers.append(("torch.compile max-autotune, frozen", lambda: compiled(on_gpu(reference_model(name)), inputs)))
    contenders = []
    for title, make in makers:
        contender = Contender(title, None)
        try:
            contender.run = make()
        except Exception as error:  # noqa: BLE001: whatever a version of PyTorch cannot do
            contender.measurement.problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        contenders.append(contender)
    return contenders


def ceilings():
    """Bytes/s of a large copy, read and written, and flop/s of a large fp16 product."""
    source = torch.randn(1 << 30, device="cuda", dtype=torch.float16)
    target = torch.empty_like(source)
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
    copy_seconds = min(timed(lambda: target.copy_(source)) for _ in range(10))
    product_seconds = min(timed(lambda: a @ a) for _ in range(10))
    return 2 * source.numel() * source.element_size() / copy_seconds, 2 * 8192**3 / product_seconds


def timed(work):
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    work()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) * 1e-3


def check(network, name, batch):
    """Fresh images, poisoned output. The reference is float64, float32 without tf32 for large batches. Returns the
    relative L2 error."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    dtype = torch.float64 if batch <= 8 else torch.float32
    x = torch.from_numpy(seeded.images(batch, seed=torch.seed() & 0xFFFF)).cuda()
    expected = reference_model(name).to("cuda", dtype)(x.to(dtype))
    y = torch.full(expected.shape, float("nan"), device="cuda")
    network.run(x, y, torch.cuda.current_stream().cuda_stream)
    torch.cuda.synchronize()
    return measure.relative_error(y, expected)


def one_round(contender, runs, eraser):
    """Seconds per run. With an ERASER each run is timed by itself after the level 2 cache was flushed."""
    if eraser is None:
        return timed(lambda: [contender.run(i) for i in range(runs)]) / runs
    seconds = []
    for i in range(runs):
        eraser.zero_()
        seconds.append(timed(lambda: contender.run(i)))
    return sorted(seconds)[len(seconds) // 2]


def race(contenders, rounds, runs, eraser):
    """All in turn in each round, so that a change of the clock meets them all."""
    ready = [contender for contender in contenders if contender.run]
    for contender in ready:
        contender.measurement.rounds.clear()
        for i in range(WARM_UP):
            contender.run(i)
    torch.cuda.synchronize()
    for _ in range(rounds):
        for contender in ready:
            contender.measurement.rounds.append(one_round(contender, runs, eraser))


def print_steps(unit, network):
    print(f"  {unit + ', step':<32}{'kernel':<36}{'us':>8}{'GB/s':>8}{'TFLOP/s':>9}")
    for step, seconds in zip(network.steps, network.time_steps(20)):
        print(f"  {step.name.decode():<32}{step.kernel.decode():<36}{seconds * 1e6:8.1f}"
              f"{step.bytes / seconds * 1e-9:8.0f}{step.flops / seconds * 1e-12:9.2f}")


def measure_network(networks, name, batch, args):
    """NETWORKS: ours that are right, by matrix unit."""
    ours = torch.from_numpy(seeded.images(batch, seed=3)).cuda()
    theirs = ours.half().to(memory_format=torch.channels_last)
    # A single image is timed warm and flushed; batches are rotated.
    count = 1 if batch == 1 else measure.copies(theirs.numel() * theirs.element_size())
    our_inputs, their_inputs = ([x.clone(memory_format=torch.preserve_format) for _ in range(count)]
                                for x in (ours, theirs))
    y = torch.empty(batch, 1000, device="cuda")
    stream = torch.cuda.current_stream().cuda_stream

    def runner(network):
        return lambda i: network.run(our_inputs[i % count], y, stream)

    contenders = [*(Contender(f"Cardinal {unit}, {network.code}", runner(network)) for unit, network in networks.items()),
                  *baselines(name, their_inputs, not args.no_compile)]
    bandwidth, rate = ceilings()
    # Kernels of two convolutions have less to move.
    floor = min(measure.floor_seconds(network.steps, bandwidth, rate) for network in networks.values())
    print(f"  a copy moves {bandwidth * 1e-12:.2f} TB/s, a product runs at {rate * 1e-12:.0f} TFLOP/s; "
          f"floor {floor * 1e6:.1f} us")
    runs = RUNS.get(batch, OTHER_RUNS)
    modes = [("level 2 cache warm", None)] if batch == 1 else [("inputs rotated", None)]
    if batch == 1:
        modes.append(("level 2 cache flushed", torch.empty(256 << 20, dtype=torch.uint8, device="cuda")))
    for title, eraser in modes:
        race(contenders, args.rounds, runs, eraser)
        measurements = [contender.measurement for contender in contenders]
        print("\n".join(measure.table(f"  {name}, {batch} images, {title}", measurements, batch, floor, len(networks))),
              flush=True)


def network(bridge, ours, name, batch, args):
    """OURS: paths of shared objects by matrix unit. Returns how many are wrong."""
    torch.backends.cudnn.benchmark = True
    right = {}
    with torch.inference_mode(), contextlib.ExitStack() as cleanup:
        for unit, so in ours.items():
            try:
                compiled_network = bridge.open(so, args.device)
                cleanup.callback(compiled_network.close)
                error = check(compiled_network, name, batch)
                if error <= measure.TOLERANCE:
                    right[unit] = compiled_network
                print(f"{name}, {batch} images, {unit}: relative L2 error {error:.1e}, "
                      f"{'right' if unit in right else 'WRONG'}", flush=True)
            except GpuError as failure:
                print(f"{name}, {batch} images, {unit}: WRONG: {failure}")
        if right and not args.check_only:
            measure_network(right, name, batch, args)
            if args.steps:
                for unit, compiled_network in right.items():
                    print_steps(unit, compiled_network)
    return len(ours) - len(right)
