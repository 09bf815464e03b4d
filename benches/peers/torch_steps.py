#!/usr/bin/env python3
"""What PyTorch takes for what `gpu-check` times: whole training steps, and single operations.

Prints a JSON line each, with the names that gpu-check gives them. With `--against` it reads the
lines of a run of gpu-check and adds how many times faster that was.

    pip install torch
    benches/peers/torch_steps.py steps --against benches/runs/RUN/steps.jsonl
    benches/peers/torch_steps.py operations

A step is that of gpu-check: a child of the reference space at images of 32x32x3 in ten classes, on
one random batch again and again, with Adam. PyTorch is given channels-last memory, autocast to bf16
with a fused optimizer, and in turn its three ways to run: one operation after another (eager),
torch.compile (compile), and a CUDA graph of the whole step (graph).
"""
import argparse
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

CHILDREN = [
    "3,64,3,64,3,32,3,64",
    "3,64,3,64,3,64,3,64",
    "3,16,3,16,3,16,3,16",
    "1,16,3,32,1,16,3,16",
    "1,64,1,64,1,64,1,64",
    "3,32,1,64,3,16,1,32",
]
CLASSES = 10
SIDE = 32
STRIDES = [2, 1, 2, 1]
WARM_UP = 5

# batch, side, channels, filters, kernel, stride
CONVOLUTIONS = [
    (128, 32, 3, 64, 3, 2),
    (128, 16, 64, 64, 3, 1),
    (128, 16, 64, 32, 3, 2),
    (128, 8, 32, 64, 3, 1),
    (128, 32, 48, 48, 1, 1),
    (128, 32, 48, 48, 3, 1),
    (128, 32, 48, 48, 7, 1),
]
ROWS = [(128, 10), (700, 10_000), (128, 1_000)]
PRODUCTS = [512, 1024, 4096]


class Child(torch.nn.Module):
    """Four convolutions with relu, global average pooling and a dense layer."""

    def __init__(self, tokens, batch_norm):
        super().__init__()
        numbers = [int(number) for number in tokens.split(",")]
        self.convolutions, self.norms = torch.nn.ModuleList(), torch.nn.ModuleList()
        channels = 3
        for kernel, filters, stride in zip(numbers[::2], numbers[1::2], STRIDES):
            convolution = torch.nn.Conv2d(channels, filters, kernel, stride, bias=not batch_norm)
            self.convolutions.append(convolution)
            norm = torch.nn.BatchNorm2d(filters) if batch_norm else torch.nn.Identity()
            self.norms.append(norm)
            channels = filters
        self.dense = torch.nn.Linear(channels, CLASSES)

    def forward(self, x):
        for convolution, norm in zip(self.convolutions, self.norms):
            x = F.relu(norm(convolution(same(x, convolution.kernel_size[0], convolution.stride[0]))))
        return self.dense(x.mean((2, 3)))


def same(x, kernel, stride):
    """TensorFlow's padding: an odd zero goes to the bottom and the right."""
    side = x.shape[2]
    zeros = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    first = zeros // 2
    return F.pad(x, (first, zeros - first, first, zeros - first)) if zeros else x


def channels_last(x):
    return x.contiguous(memory_format=torch.channels_last)


class Clock:
    """Microseconds of a call, by calls that are queued one after another."""

    def __init__(self, device, repeats):
        self.device, self.repeats = device, repeats

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def time(self, work):
        for _ in range(WARM_UP):
            work()
        self.wait()
        begin = time.perf_counter()
        work()
        self.wait()
        calls = max(1, min(1000, int(0.01 / max(time.perf_counter() - begin, 1e-7))))
        times = []
        for _ in range(self.repeats):
            begin = time.perf_counter()
            for _ in range(calls):
                work()
            self.wait()
            times.append((time.perf_counter() - begin) / calls * 1e6)
        return statistics.median(times)


def training_step(tokens, mode, precision, options):
    """A function that takes a step."""
    device = options.device
    model = Child(tokens, options.batch_norm).to(device, memory_format=torch.channels_last)
    x = channels_last(torch.randn(options.batch, 3, SIDE, SIDE, device=device))
    y = torch.randint(0, CLASSES, (options.batch,), device=device)
    forward = torch.compile(model) if mode == "compile" else model
    adam = {"fused": True, "capturable": mode == "graph"}
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, eps=1e-7, **adam)

    def step():
        optimizer.zero_grad(set_to_none=True)
        # The cache of casts must not outlive the weights that a graph changes.
        cast = dict(dtype=torch.bfloat16, enabled=precision == "bf16", cache_enabled=mode != "graph")
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


def steps(options, clock):
    ours = read(options.against, lambda line: (line["child"], line["precision"], line["batch"]))
    modes = [mode for mode in options.modes if mode != "graph" or options.device.type == "cuda"]
    for child in options.child or CHILDREN:
        for precision in options.precisions:
            for mode in modes:
                us = clock.time(training_step(child, mode, precision, options))
                yield {
                    "child": child,
                    "precision": precision,
                    "batch": options.batch,
                    "batch_norm": options.batch_norm,
                    "mode": mode,
                    "median_us": round(us, 2),
                    "images_per_s": round(options.batch / us * 1e6),
                    **ratio(us, ours.get((child, precision, options.batch))),
                }


def operations(options, clock):
    dtypes = {"f32": torch.float32, "bf16": torch.bfloat16}
    device = options.device
    for precision in options.precisions:
        make = {"device": device, "dtype": dtypes[precision]}
        for batch, side, channels, filters, kernel, stride in CONVOLUTIONS:
            x = channels_last(same(torch.randn(batch, channels, side, side, **make), kernel, stride))
            w = channels_last(torch.randn(filters, channels, kernel, kernel, **make))
            dy = channels_last(torch.randn_like(F.conv2d(x, w, stride=stride)))
            gradient = torch.ops.aten.convolution_backward

            def backward(wanted):
                window = (None, [stride] * 2, [0, 0], [1, 1], False, [0, 0], 1, wanted)
                return gradient(dy, x, w, *window)

            passes = {
                "fprop": lambda: F.conv2d(x, w, stride=stride),
                "dgrad": lambda: backward([True, False, False]),
                "wgrad": lambda: backward([False, True, False]),
            }
            shape = f"{batch}x{side}x{side}x{channels} {kernel}x{kernel}/{stride} {filters}"
            for name, work in passes.items():
                yield {"operation": name, "precision": precision, "shape": shape,
                       "median_us": round(clock.time(work), 2)}
        for rows, classes in ROWS:
            x = torch.randn(rows, classes, **make)
            yield {"operation": "softmax", "precision": precision, "shape": f"{rows}x{classes}",
                   "median_us": round(clock.time(lambda: F.softmax(x, 1)), 2)}
        for n in PRODUCTS:
            a, b = torch.randn(n, n, **make), torch.randn(n, n, **make)
            yield {"operation": "matmul", "precision": precision, "shape": f"{n}x{n}x{n}",
                   "median_us": round(clock.time(lambda: a @ b), 2)}


def read(path, key):
    """The timed lines of a run of gpu-check."""
    if path is None:
        return {}
    with open(path) as file:
        lines = [json.loads(line) for line in file]
    return {key(line): line["timing"]["median_us"] for line in lines if "timing" in line}


def ratio(theirs, ours):
    return {} if ours is None else {"nasrl_us": ours, "times_faster": round(theirs / ours, 2)}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["steps", "operations"])
    parser.add_argument("--child", action="append", metavar="TOKENS")
    parser.add_argument("--modes", type=lambda modes: modes.split(","), default=["eager", "compile", "graph"])
    parser.add_argument("--precisions", type=lambda names: names.split(","), default=["f32", "bf16"])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--batch-norm", action="store_true")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--device", type=torch.device, default=None)
    parser.add_argument("--against", metavar="FILE")
    options = parser.parse_args()
    if options.device is None:
        options.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if options.device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU; --device cpu times the processor")
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    name = torch.cuda.get_device_name() if options.device.type == "cuda" else "cpu"
    clock = Clock(options.device, options.repeats)
    lines = {"steps": steps, "operations": operations}[options.what](options, clock)
    for line in lines:
        print(json.dumps({"peer": f"torch {torch.__version__}", "device": name, **line}), flush=True)


if __name__ == "__main__":
    main()
