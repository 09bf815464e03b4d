#!/usr/bin/env python3
"""Training steps of children on a processor, `nasrl bench child` beside PyTorch.

Both train on random images of 32x32x3 in ten classes that are there already, with Adam. In each
round every way is timed once, one after another: nasrl and PyTorch, the latter eager and compiled,
each with all threads for one child and with as many single-threaded children at once. A side's
figure is the best of its ways' medians. Prints one JSON line a child and precision, and the
geometric mean of the ratios.

    cargo build --release && pip install torch numpy
    benches/peers/torch_child_steps.py --child 3,64,3,64,3,32,3,64 --child 1,64,1,64,1,64,1,64

PyTorch is given `channels_last`, its fused Adam, bf16 by autocast, and padding on both sides alike
where the output has the same size, which spares it a copy.
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

from torch_graph import Twin, draw_weights

IMAGE = "32x32x3"
CLASSES = 10
WARM_UP = 3


def center_padding(graph):
    """Splits padding evenly where strides let the output have the same size."""
    for node in graph["nodes"]:
        sides = node.get("sides")
        if node["op"] != "conv2d" or max(node["options"]["stride"].values()) == 1:
            continue
        for ends in (("top", "bottom"), ("left", "right")):
            if abs(sides[ends[0]] - sides[ends[1]]) == 1:
                sides.update(dict.fromkeys(ends, max(sides[end] for end in ends)))


def serve(options):
    """Times so many steps for every line on standard input."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    graph = json.loads(os.environ["GRAPH"])
    twin = Twin(graph, draw_weights(graph, 0))
    images = torch.randn(options.batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (options.batch,))
    optimizer = torch.optim.Adam(twin.parameters(), fused=True)
    forward = torch.compile(twin) if options.worker == "compile" else twin

    def steps(count):
        started = time.perf_counter()
        for _ in range(count):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, options.precision == "bf16"):
                loss = F.cross_entropy(forward(images).float(), labels)
            loss.backward()
            optimizer.step()
        return options.batch * count / (time.perf_counter() - started)

    steps(WARM_UP)
    print("ready", flush=True)
    for line in sys.stdin:
        print(steps(int(line)), flush=True)


class Torch:
    """Children that train in PyTorch at the same time, a process each."""

    def __init__(self, graph, precision, mode, jobs, threads, batch):
        self.jobs = jobs
        command = [
            sys.executable, __file__, "--worker", mode, "--threads", str(threads),
            "--precision", precision, "--batch", str(batch),
        ]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        environment = {**os.environ, "GRAPH": json.dumps(graph)}
        self.workers = [
            subprocess.Popen(command, env=environment, **pipes) for _ in range(jobs)
        ]
        for worker in self.workers:
            worker.stdout.readline()

    def time(self, steps):
        for worker in self.workers:
            print(steps, file=worker.stdin, flush=True)
        return sum(float(worker.stdout.readline()) for worker in self.workers)

    def stop(self):
        for worker in self.workers:
            worker.stdin.close()
            worker.wait()


class Nasrl:
    """The same children here."""

    def __init__(self, command, jobs, threads):
        self.jobs = jobs
        self.command = [*command, "--repeats", "1", "--jobs", str(jobs), "--threads", str(threads)]

    def time(self, steps):
        command = [*self.command, "--steps", str(steps)]
        line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return json.loads(line)["images_per_second"]

    def stop(self):
        pass


def exported(options, child):
    command = [options.nasrl, "space", "show", "--space", options.space, "--tokens", child]
    command += ["--image", IMAGE, "--export", *(["--batch-norm"] if options.batch_norm else [])]
    graph = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(graph)


def compare(options, child, precision):
    graph = exported(options, child)
    center_padding(graph)
    bench = [options.nasrl, "bench", "child", "--space", options.space, "--child", child]
    bench += ["--batch", str(options.batch), "--precision", precision]
    bench += ["--batch-norm"] if options.batch_norm else []
    cores = options.threads
    placements = [(1, cores), (cores, 1)] if cores > 1 else [(1, 1)]
    ways = {}
    for jobs, threads in placements:
        ways[f"nasrl {jobs}x{threads}"] = Nasrl(bench, jobs, threads)
        for mode in options.modes.split(","):
            peer = Torch(graph, precision, mode, jobs, threads, options.batch)
            ways[f"{mode} {jobs}x{threads}"] = peer
    steps = {}
    for name, way in ways.items():
        of_each = way.time(2) / way.jobs
        steps[name] = max(1, round(options.seconds * of_each / options.batch))
    rates = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            rates[name].append(way.time(steps[name]))
    for way in ways.values():
        way.stop()
    medians = {name: statistics.median(rate) for name, rate in rates.items()}
    ours = max(rate for name, rate in medians.items() if name.startswith("nasrl"))
    theirs = max(rate for name, rate in medians.items() if not name.startswith("nasrl"))
    line = {
        "child": child, "precision": precision, "batch_norm": options.batch_norm,
        "nasrl": round(ours), "torch": round(theirs), "ratio": round(ours / theirs, 2),
        "gflops": round(3 * graph["flops"] * ours / 1e9),
        "ways": {name: round(rate) for name, rate in medians.items()},
    }
    print(json.dumps(line), flush=True)
    return ours / theirs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nasrl", default="target/release/nasrl", help="the program")
    parser.add_argument("--space", default="reference", help="a built-in space or a TOML file")
    parser.add_argument("--child", action="append", default=[], help="tokens; may be repeated")
    parser.add_argument("--precision", default="f32,bf16", help="some of f32, bf16")
    parser.add_argument("--modes", default="eager,compile", help="PyTorch's, some of these")
    parser.add_argument("--batch-norm", action="store_true")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2, help="cores that a side may use")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each way in each round")
    parser.add_argument("--worker", choices=("eager", "compile"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return serve(options)
    print(f"torch {torch.__version__}, {options.threads} threads", flush=True)
    for precision in options.precision.split(","):
        ratios = [compare(options, child, precision) for child in options.child]
        if ratios:
            mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
            print(f"{precision}: geometric mean {mean:.2f}, least {min(ratios):.2f}", flush=True)


if __name__ == "__main__":
    main()
