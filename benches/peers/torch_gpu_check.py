#!/usr/bin/env python3
"""What PyTorch takes for what a run of `gpu-check` timed, and how many times faster that was.

    pip install torch
    benches/peers/torch_gpu_check.py benches/runs/RUN

Reads steps.jsonl, operations.jsonl and the best lines of tiles.jsonl in the run's folder and writes a
JSON line for each of their lines that PyTorch has a counterpart of, to standard output and to
torch.jsonl in the folder: whole training steps; convolutions, matrix products and softmax. Shapes and
types are the run's. In the end it says, to standard error, where PyTorch is ahead.

A step trains a child of the reference space on one random batch again and again, with Adam. PyTorch
is given channels-last memory, autocast for bf16 and a fused optimizer, and in turn its three ways to
run: one operation after another (eager), a CUDA graph of the whole step (graph), and torch.compile
(compile), which comes last since it takes half a minute a step to compile. Products of f32 are those
of f32 unless --tf32 allows PyTorch to round their operands to TF32.

What cannot be run is a line with a problem; what is not begun after --seconds is left out.
"""
import argparse
import functools
import json
import pathlib
import re
import statistics
import sys
import time

import torch
import torch.nn.functional as F

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
CLASSES = 10
SIDE = 32
STRIDES = [2, 1, 2, 1]
WARM_UP = 5
MODES = ["eager", "graph", "compile"]
# `128 of 3x3/2 3-64 on 32x32`, as gpu-check writes a layer with 'same' padding.
LAYER = re.compile(r"(\d+) of (\d+)x(\d+)(?:/(\d+))? (\d+)-(\d+) on (\d+)x(\d+)")


class Child(torch.nn.Module):
    """Four convolutions with relu, global average pooling and a dense layer."""

    def __init__(self, tokens):
        super().__init__()
        numbers = [int(number) for number in tokens.split(",")]
        self.convolutions = torch.nn.ModuleList()
        channels = 3
        for kernel, filters, stride in zip(numbers[::2], numbers[1::2], STRIDES):
            self.convolutions.append(torch.nn.Conv2d(channels, filters, kernel, stride))
            channels = filters
        self.dense = torch.nn.Linear(channels, CLASSES)

    def forward(self, x):
        for convolution in self.convolutions:
            x = F.relu(convolution(same(x, convolution.kernel_size, convolution.stride[0])))
        return self.dense(x.mean((2, 3)))


def same(x, kernel, stride):
    """TensorFlow's padding: an odd zero goes to the bottom and the right."""
    padding = []
    for side, extent in zip(x.shape[2:], kernel):
        zeros = max((-(-side // stride) - 1) * stride + extent - side, 0)
        padding = [zeros // 2, zeros - zeros // 2] + padding
    return F.pad(x, padding) if any(padding) else x


def channels_last(x):
    return x.contiguous(memory_format=torch.channels_last)


class Clock:
    """Microseconds of a call, by calls that are queued one after another."""

    def __init__(self, device, repeats):
        self.device, self.repeats = device, repeats

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, work, calls):
        begin = time.perf_counter()
        for _ in range(calls):
            work()
        self.wait()
        return (time.perf_counter() - begin) / calls

    def time(self, work):
        for _ in range(WARM_UP):
            work()
        self.wait()
        calls = max(1, min(1000, int(0.01 / self.seconds(work, 1))))
        return 1e6 * statistics.median(self.seconds(work, calls) for _ in range(self.repeats))


def training_step(line, mode, device):
    """A function that takes a step."""
    model = Child(line["child"]).to(device, memory_format=torch.channels_last)
    x = channels_last(torch.randn(line["batch"], 3, SIDE, SIDE, device=device))
    y = torch.randint(0, CLASSES, (line["batch"],), device=device)
    forward = torch.compile(model, dynamic=False) if mode == "compile" else model
    adam = {"fused": True, "capturable": mode == "graph"}
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, eps=1e-7, **adam)
    # The cache of casts must not outlive the weights that a graph changes.
    cast = {"dtype": torch.bfloat16, "enabled": line["precision"] == "bf16"}
    cast["cache_enabled"] = mode != "graph"

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, **cast):
            logits = forward(x)
        F.cross_entropy(logits.float(), y).backward()
        optimizer.step()

    if mode != "graph":
        return step
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def operation(line, device):
    """A function that does what a line of operations.jsonl is of; None if it has no counterpart."""
    make = {"device": device, "dtype": DTYPES[line["dtype"]]}
    layer = LAYER.fullmatch(line["shape"])
    match line["operation"], line["pass"]:
        case "conv2d", which if layer:
            images, r, s, stride, channels, filters, h, w = (int(n or 1) for n in layer.groups())
            x = channels_last(same(torch.randn(images, channels, h, w, **make), (r, s), stride))
            weight = channels_last(torch.randn(filters, channels, r, s, **make))
            if which == "fprop":
                return lambda: F.conv2d(x, weight, stride=stride)
            dy = channels_last(torch.randn_like(F.conv2d(x, weight, stride=stride)))
            wanted = [which == "dgrad", which == "wgrad", False]
            window = (None, [stride] * 2, [0, 0], [1, 1], False, [0, 0], 1, wanted)
            return lambda: torch.ops.aten.convolution_backward(dy, x, weight, *window)
        case "softmax", "fprop":
            x = torch.randn(*extents(line), **make)
            return lambda: F.softmax(x, 1)
        case "matmul", letters:
            m, n, k = extents(line)
            a = torch.randn(m, k, **make) if letters[0] == "n" else torch.randn(k, m, **make).T
            b = torch.randn(k, n, **make) if letters[1] == "n" else torch.randn(n, k, **make).T
            return lambda: a @ b
    return None


def extents(line):
    return [int(extent) for extent in line["shape"].split("x")]


def lines_of(path):
    """The lines of a block of gpu-check; none if it was not run."""
    if not path.exists():
        return []
    # The last line of a run that was cut off may be half a line.
    whole = [line for line in path.read_text().splitlines() if line.endswith("}")]
    return [json.loads(line) for line in whole]


def timed_lines(path):
    return [line for line in lines_of(path) if "timing" in line]


def best_lines(path):
    """The fastest tiles of each pass, as lines of operations are."""
    best = [line for line in lines_of(path) if line.get("what") == "best"]
    as_operations = {"operation": "conv2d"}
    return [{**line, **as_operations, "timing": {"median_us": line["best_us"]}} for line in best]


def work_of(folder, modes):
    """Each line with a time, what names it, and what makes PyTorch's counterpart; the most wanted
    come first."""
    steps = timed_lines(folder / "steps.jsonl")
    plain = [mode for mode in modes if mode != "compile"]
    for mode in plain:
        yield from ((line, *of_step(line, mode)) for line in steps)
    for line in timed_lines(folder / "operations.jsonl"):
        yield line, of_operation(line), functools.partial(operation, line)
    for line in best_lines(folder / "tiles.jsonl"):
        what = {**of_operation(line), "tiles": line["tiles"]}
        yield line, what, functools.partial(operation, line)
    if "compile" in modes:
        yield from ((line, *of_step(line, "compile")) for line in steps)


def of_step(line, mode):
    what = {key: line[key] for key in ("child", "precision", "batch")}
    return {**what, "mode": mode}, functools.partial(training_step, line, mode)


def of_operation(line):
    return {key: line[key] for key in ("operation", "pass", "shape", "dtype")}


def compare(options, modes):
    """A line for everything that PyTorch has a counterpart of."""
    clock, end = Clock(options.device, options.repeats), time.monotonic() + options.seconds
    known = {}
    for line, what, make in work_of(options.run, modes):
        if time.monotonic() > end:
            break
        name = json.dumps({**what, "tiles": None})
        try:
            if name not in known:
                if what.get("mode") == "compile":
                    # Otherwise it gives up on a child's code after eight shapes and runs it eagerly.
                    torch._dynamo.reset()
                work = make(options.device)
                known[name] = work and clock.time(work)
        except Exception as error:
            yield {**what, "problem": f"{type(error).__name__}: {error}".splitlines()[0]}
            continue
        us, ours = known[name], line["timing"]["median_us"]
        if us is not None:
            times = {"median_us": round(us, 2), "nasrl_us": ours}
            yield {**what, **times, "times_faster": round(us / ours, 2)}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=pathlib.Path, help="the folder of a run of gpu-check")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=480, help="nothing is begun after so many")
    parser.add_argument("--modes", default=None, help="some of eager,graph,compile")
    parser.add_argument("--tf32", action="store_true", help="f32 by way of TF32, as cuDNN likes it")
    parser.add_argument("--device", type=torch.device, default="cuda", help="cuda, or cpu to try it")
    options = parser.parse_args()
    on_gpu = options.device.type == "cuda"
    if on_gpu and not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU; --device cpu tries this script on the processor")
    modes = options.modes.split(",") if options.modes else MODES if on_gpu else ["eager", "compile"]
    if unknown := set(modes) - set(MODES if on_gpu else ["eager", "compile"]):
        sys.exit(f"no way to run a step on {options.device}: {', '.join(sorted(unknown))}")
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = options.tf32
    name = torch.cuda.get_device_name() if on_gpu else "cpu"
    peer = {"peer": f"torch {torch.__version__}", "device": name, "tf32": options.tf32}
    lines = []
    with (options.run / "torch.jsonl").open("w") as file:
        for line in compare(options, modes):
            lines.append(line)
            text = json.dumps({**peer, **line})
            print(text, flush=True)
            print(text, file=file, flush=True)
    summarise(lines)


def summarise(lines):
    """Where PyTorch is ahead, and what it could not run."""
    timed = [line for line in lines if "times_faster" in line]
    ahead = [line for line in timed if line["times_faster"] < 1]
    ahead.sort(key=lambda line: line["times_faster"])
    print(f"{len(timed)} compared, PyTorch is ahead in {len(ahead)}:", file=sys.stderr)
    for line in ahead + [line for line in lines if "problem" in line]:
        print("  " + json.dumps(line), file=sys.stderr)


if __name__ == "__main__":
    main()
