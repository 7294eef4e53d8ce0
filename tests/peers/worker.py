"""One peer in a process of its own: loads an ONNX model, saves its output, then times runs as it is told.

Reads lines of standard input: a number of seconds to run for. Answers each with a line of JSON, the times in milliseconds.
The first line it writes says that it is ready, or why it cannot be.
"""

import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np


def onnxruntime(model, x, threads):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: x})[0]


def openvino(model, x, threads):
    import openvino as ov

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = ov.Core().compile_model(str(model), "CPU", settings)
    request = compiled.create_infer_request()
    return lambda: request.infer([x], share_inputs=True)[compiled.output(0)]


def ncnn(model, x, threads):
    """ncnn has no batch dimension: the images of a batch run one after another."""
    import ncnn

    base = model.with_suffix("")
    shape = ",".join(str(extent) for extent in (1, *x.shape[1:]))
    single = model.with_name(model.name.replace(f"-b{x.shape[0]}.", "-b1."))
    convert = [pathlib.Path(sys.executable).with_name("pnnx"), single, f"inputshape=[{shape}]", "fp16=0"]
    convert += [f"ncnnparam={base}.ncnn.param", f"ncnnbin={base}.ncnn.bin"]
    subprocess.run([str(word) for word in convert], check=True, capture_output=True, cwd=model.parent)
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    if net.load_param(f"{base}.ncnn.param") or net.load_model(f"{base}.ncnn.bin"):
        raise RuntimeError("ncnn cannot load the converted model")
    images = [ncnn.Mat(image) for image in x]

    def one(image):
        extractor = net.create_extractor()
        extractor.input("in0", image)
        return np.array(extractor.extract("out0")[1])

    return lambda: np.stack([one(image) for image in images])


def mnn(model, x, threads):
    import MNN

    target = model.with_suffix(".mnn")
    convert = [pathlib.Path(sys.executable).with_name("mnnconvert"), "-f", "ONNX", "--modelFile", model]
    convert += ["--MNNModel", target, "--bizCode", "peers"]
    subprocess.run([str(word) for word in convert], check=True, capture_output=True)
    settings = {"backend": "CPU", "precision": "high", "numThread": threads}
    runtime = MNN.nn.create_runtime_manager((settings,))
    module = MNN.nn.load_module_from_file(str(target), [], [], runtime_manager=runtime)
    image = MNN.expr.convert(MNN.expr.const(x, x.shape), MNN.expr.NC4HW4)

    def once():
        return np.array(module.forward(image).read())

    return once


def tvm(model, x, threads):
    """Without auto-tuning, which takes hours a network."""
    os.environ["TVM_NUM_THREADS"] = str(threads)
    import onnx
    import tvm
    from tvm import relax
    from tvm.relax.frontend.onnx import from_onnx

    module = from_onnx(onnx.load(str(model)), keep_params_in_input=False)
    cpu = tvm.get_global_func("target.llvm_get_system_cpu")()
    target = tvm.target.Target({"kind": "llvm", "mcpu": cpu})
    virtual_machine = relax.VirtualMachine(relax.build(module, target), tvm.cpu())
    image = tvm.runtime.tensor(x)

    def once():
        y = virtual_machine["main"](image)
        return (y[0] if hasattr(y, "__len__") and not hasattr(y, "numpy") else y).numpy()

    return once


def iree(model, x, threads):
    import iree.compiler as compiler
    import iree.runtime as runtime

    mlir, module = model.with_suffix(".mlir"), model.with_suffix(".vmfb")
    here = pathlib.Path(sys.executable)
    convert = [here.with_name("iree-import-onnx"), model, "--opset-version", "17", "-o", mlir]
    subprocess.run([str(word) for word in convert], check=True, capture_output=True)
    flags = ["--iree-llvmcpu-target-cpu=host", "--iree-opt-level=O3"]
    compiler.compile_file(str(mlir), target_backends=["llvm-cpu"], input_type="onnx", extra_args=flags,
                          output_file=str(module))
    if threads > 1:
        runtime.flags.parse_flags(f"--task_topology_max_group_count={threads}")
    config = runtime.Config("local-sync" if threads == 1 else "local-task")
    loaded = runtime.load_vm_module(runtime.VmModule.mmap(config.vm_instance, str(module)), config)
    names = [name for name in loaded.vm_module.function_names if not name.startswith("__")]
    function = loaded[next(name for name in names if not name.endswith("$async"))]
    return lambda: np.asarray(function(x))


def torch_network(model):
    """The PyTorch module that the ONNX file was exported from."""
    import torch
    import torchvision

    name = model.name.rsplit("-b", 1)[0]
    options = json.loads(model.with_name(f"{name}.json").read_text())
    network = torchvision.models.get_model(name, **options).eval()
    network.load_state_dict(torch.load(model.with_name(f"{name}.pt")))
    return network


def litert(model, x, threads):
    """TensorFlow Lite by its present name; its convolutions are XNNPACK's."""
    import litert_torch
    import torch
    from ai_edge_litert.interpreter import Interpreter

    target = model.with_suffix(".tflite")
    litert_torch.convert(torch_network(model), (torch.from_numpy(x),)).export(str(target))
    interpreter = Interpreter(str(target), num_threads=threads)
    interpreter.allocate_tensors()
    place, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def once():
        interpreter.set_tensor(place, x)
        interpreter.invoke()
        return interpreter.get_tensor(result)

    return once


def inductor(model, x, threads):
    """torch.compile with freezing (constant folding of weights, so batch norms are folded) and auto-tuned kernels."""
    import torch
    import torch._inductor.config

    torch.set_num_threads(threads)
    torch._inductor.config.freezing = True
    network = torch_network(model).to(memory_format=torch.channels_last)
    compiled = torch.compile(network, mode="max-autotune-no-cudagraphs")
    image = torch.from_numpy(x).to(memory_format=torch.channels_last)

    def once():
        with torch.no_grad():
            return compiled(image).numpy()

    return once


PEERS = {  # the function that loads, the package whose version is reported
    "onnxruntime": (onnxruntime, "onnxruntime"),
    "openvino": (openvino, "openvino"),
    "ncnn": (ncnn, "ncnn"),
    "mnn": (mnn, "MNN"),
    "tvm": (tvm, "apache-tvm"),
    "iree": (iree, "iree-base-compiler"),
    "litert": (litert, "ai-edge-litert"),
    "inductor": (inductor, "torch"),
}


def say(answer):
    print(json.dumps(answer), file=channel, flush=True)


def main():
    peer, model, threads, output = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    load, package = PEERS[peer]
    batch = int(model.stem.rsplit("-b", 1)[1])
    x = np.load(model.with_name(f"{model.stem.rsplit('-b', 1)[0]}-x.npy"))[:batch]
    try:
        once = load(model, np.ascontiguousarray(x), threads)
        np.save(output, once())
    except Exception as error:  # whatever a peer raises is its reason for not taking part
        detail = getattr(error, "stderr", None) or str(error)
        detail = detail.decode(errors="replace") if isinstance(detail, bytes) else detail
        say({"failed": f"{type(error).__name__}: {' '.join(detail.split())[-300:]}"})
        return
    say({"version": importlib.metadata.version(package)})
    for line in sys.stdin:
        seconds, times = float(line), []
        start = time.perf_counter()
        once()  # finds the caches as the runtime before left them
        slow = time.perf_counter() - start > seconds
        end = time.perf_counter() + seconds
        while len(times) < (1 if slow else 3) or time.perf_counter() < end:
            start = time.perf_counter()
            once()
            times.append(1e3 * (time.perf_counter() - start))
        say(times)


if __name__ == "__main__":
    # Whatever the peers print goes to standard error; the answers have standard output for themselves.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    main()
