#!/usr/bin/env python3
"""What PyTorch takes for what a run of `gpu-check` timed, and how many times faster that was.

    pip install torch
    benches/peers/torch_gpu_check.py benches/runs/RUN

Reads steps.jsonl and operations.jsonl of the run's folder and prints a JSON line for each of their
lines that PyTorch has a counterpart of: whole training steps; convolutions, matrix products and
softmax. Shapes and types are the run's.

A step trains a child of the reference space on one random batch again and again, with Adam. PyTorch
is given channels-last memory, autocast for bf16 and a fused optimizer, and in turn its three ways to
run: one operation after another (eager), torch.compile (compile), and a CUDA graph of the whole step
(graph).
"""
import argparse
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
    forward = torch.compile(model) if mode == "compile" else model
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


def timed_lines(path):
    """The lines of a block of gpu-check that have a time; none if the block was not run."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if "timing" in line]


def compare(folder, clock, modes):
    for line in timed_lines(folder / "steps.jsonl"):
        what = {key: line[key] for key in ("child", "precision", "batch")}
        for mode in modes:
            yield line, {**what, "mode": mode}, clock.time(training_step(line, mode, clock.device))
    for line in timed_lines(folder / "operations.jsonl"):
        work = operation(line, clock.device)
        if work is not None:
            what = {key: line[key] for key in ("operation", "pass", "shape", "dtype")}
            yield line, what, clock.time(work)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=pathlib.Path, help="the folder of a run of gpu-check")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--device", type=torch.device, default="cuda", help="cuda, or cpu to try it")
    options = parser.parse_args()
    on_gpu = options.device.type == "cuda"
    if on_gpu and not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU; --device cpu tries this script on the processor")
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    peer = {
        "peer": f"torch {torch.__version__}",
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
    }
    modes = ["eager", "compile", "graph"] if on_gpu else ["eager"]
    for line, what, us in compare(options.run, Clock(options.device, options.repeats), modes):
        ours = line["timing"]["median_us"]
        times = {"median_us": round(us, 2), "nasrl_us": ours, "times_faster": round(us / ours, 2)}
        print(json.dumps({**peer, **what, **times}), flush=True)


if __name__ == "__main__":
    main()
