#!/usr/bin/env python3
"""A child's twin in PyTorch: the same graph, weights, batches and recipe, loss by loss.

Asks `nasrl space show --export` for the layer graph, draws weights, trains both from them on the
same images in the same order, and compares the losses of the steps. Prints one line with the
largest relative difference, both speeds, and PASS or FAIL; exits with 1 if any child failed.

    cargo build --release && pip install torch numpy
    benches/peers/torch_graph.py --space nas-rl-cnn.toml --data CIFAR-DIR \
        --tokens "3,3,24 / 3,5,36,1 / 7,1,48,01 / 1,1,24,001 / 3,3,24,0001 / 5,5,24,00001"

The images are CIFAR-10 in its binary form or IDX files; both programs divide them by 255.
"""
import argparse
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

import numpy
import torch
import torch.nn.functional as F

RECIPES = {
    # The reference's: Adam with Keras's constants.
    "reference": (
        ["recipe.learning-rate=0.001"],
        lambda parameters: torch.optim.Adam(parameters, lr=0.001, eps=1e-7),
    ),
    # arXiv 1611.01578, section 4.1, without its augmentation.
    "paper": (
        [
            "recipe.learning-rate=0.1",
            "recipe.weight-decay=0.0001",
            'recipe.optimizer={ kind = "sgd", momentum = 0.9, nesterov = true }',
        ],
        lambda parameters: torch.optim.SGD(
            parameters, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4
        ),
    ),
}
BATCH_NORM_EPSILON = 1e-5
SPEED_WARM_UP = 3


def read_images(folder):
    """Training images [n, c, h, w] and labels of a folder, in the order of its files."""
    folder = pathlib.Path(folder)
    records = sorted([*folder.glob("data_batch_*.bin"), *folder.glob("*/data_batch_*.bin")])
    if records:
        data = numpy.concatenate([numpy.fromfile(file, numpy.uint8) for file in records])
        data = data.reshape(-1, 3073)
        return data[:, 1:].reshape(-1, 3, 32, 32), data[:, 0].astype(numpy.int64)
    images = (folder / "train-images-idx3-ubyte").read_bytes()
    labels = (folder / "train-labels-idx1-ubyte").read_bytes()
    _, count, height, width = struct.unpack(">IIII", images[:16])
    images = numpy.frombuffer(images, numpy.uint8, offset=16).reshape(count, 1, height, width)
    return images, numpy.frombuffer(labels, numpy.uint8, offset=8).astype(numpy.int64)


def draw_weights(graph, seed):
    """He-normal filters, and batch normalisations that do nothing yet, in nasrl's layouts."""
    generator = numpy.random.default_rng(seed)
    weights = {}
    for spec in (spec for node in graph["nodes"] for spec in node.get("parameters", [])):
        shape, role = spec["shape"], spec["role"]
        if role in ("filters", "depthwise_filters", "dense_weight"):
            fan_in = shape[0] if role == "dense_weight" else int(numpy.prod(shape[1:]))
            values = generator.normal(0, (2 / fan_in) ** 0.5, shape)
        else:
            values = numpy.full(shape, float(role in ("gamma", "running_variance")))
        weights[spec["name"]] = values.astype(numpy.float32)
    return weights


def save_safetensors(path, tensors):
    header, offset = {}, 0
    for name, values in tensors.items():
        offsets = [offset, offset + values.nbytes]
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": offsets}
        offset += values.nbytes
    header = json.dumps(header).encode()
    header += b" " * (-len(header) % 8)
    data = b"".join(values.tobytes() for values in tensors.values())
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


class Twin(torch.nn.Module):
    """The network of an exported graph."""

    def __init__(self, graph, weights):
        super().__init__()
        self.nodes = graph["nodes"]
        self.held = torch.nn.ParameterDict()
        for spec in (spec for node in self.nodes for spec in node.get("parameters", [])):
            if spec["role"].startswith("running"):
                continue
            values = torch.tensor(weights[spec["name"]])
            if spec["role"] == "filters":
                values = values.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
            elif spec["role"] == "depthwise_filters":
                values = values.unsqueeze(1)
            self.held[spec["name"].replace(".", "/")] = torch.nn.Parameter(values)

    def of(self, node, name):
        key = f"{node['name']}.{name}".replace(".", "/")
        return self.held[key] if key in self.held else None

    def forward(self, images):
        results = {}
        for node in self.nodes:
            inputs = [results[name] for name in node["inputs"]]
            results[node["name"]] = self.apply_node(node, inputs) if inputs else images
        return results[self.nodes[-1]["name"]].flatten(1)

    def apply_node(self, node, inputs):
        x, options = inputs[0], node.get("options")
        match node["op"]:
            case "conv2d":
                weight = self.of(node, "weight")
                groups = 1 if "full" in options["kind"] else x.shape[1]
                strides, dilation = (
                    [options[key]["height"], options[key]["width"]] for key in ("stride", "dilation")
                )
                x, padding = pad(x, node["sides"])
                bias = self.of(node, "bias")
                return F.conv2d(x, weight, bias, strides, padding, dilation, groups)
            case "batch_norm":
                gamma, beta = self.of(node, "gamma"), self.of(node, "beta")
                return F.batch_norm(
                    x, None, None, gamma, beta, training=True, eps=BATCH_NORM_EPSILON
                )
            case "activation":
                return {"relu": F.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}[options](x)
            case "concat":
                return torch.cat(inputs, 1) if len(inputs) > 1 else x
            case "add":
                return sum(inputs)
            case "zero_pad":
                return F.pad(x, [options[side] for side in ("left", "right", "top", "bottom")])
            case "pool":
                return pool(x, options, node["sides"])
            case "global_average_pool":
                return x.mean((2, 3))
            case "dense":
                return x.flatten(1) @ self.of(node, "weight") + self.of(node, "bias")
        raise SystemExit(f"{node['name']}: no twin of {node['op']}")


def pool(x, options, sides):
    """The maximum or the mean of each window, of what lies inside the image."""
    size, stride = ([options[key]["height"], options[key]["width"]] for key in ("size", "stride"))
    around = [sides[side] for side in ("left", "right", "top", "bottom")]
    if options["kind"] == "max":
        return F.max_pool2d(F.pad(x, around, value=-torch.inf), size, stride)
    inside = F.pad(torch.ones_like(x[:1, :1]), around)
    return F.avg_pool2d(F.pad(x, around), size, stride) / F.avg_pool2d(inside, size, stride)


def pad(x, sides):
    """Images with what a convolution cannot pad itself, and what it can."""
    vertical, horizontal = min(sides["top"], sides["bottom"]), min(sides["left"], sides["right"])
    rest = [
        sides["left"] - horizontal,
        sides["right"] - horizontal,
        sides["top"] - vertical,
        sides["bottom"] - vertical,
    ]
    return (F.pad(x, rest) if any(rest) else x), [vertical, horizontal]


def train_twin(graph, weights, images, labels, options, dtype=torch.float32):
    """Losses of the steps, and images a second of those after the warm-up."""
    twin = Twin(graph, weights).to(dtype)
    optimizer = RECIPES[options.recipe][1](twin.parameters())
    losses = []
    for step in range(options.steps):
        if step == SPEED_WARM_UP:
            started = time.perf_counter()
        indices = [i % len(images) for i in range(step * options.batch, (step + 1) * options.batch)]
        x = torch.from_numpy(images[indices]).to(dtype).div(255)
        x = x.contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(twin(x), torch.from_numpy(labels[indices]))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    timed = (options.steps - SPEED_WARM_UP) * options.batch
    return losses, timed / (time.perf_counter() - started)


def run_nasrl(options, *arguments):
    command = [options.nasrl, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def compare(options, tokens, images, labels):
    """Whether the losses of both agree."""
    shape = "x".join(str(images.shape[axis]) for axis in (2, 3, 1))
    child = ["--tokens", tokens]
    graph = run_nasrl(options, "space", "show", "--space", options.space, *child, "--image", shape, "--export")
    graph = json.loads(graph)
    weights = draw_weights(graph, options.seed)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "weights.safetensors"
        save_safetensors(path, weights)
        settings = [part for key in RECIPES[options.recipe][0] for part in ("--set", key)]
        report = run_nasrl(
            options, "train", "--space", options.space, *child, "--data", options.data,
            "--validation", "0", "--no-shuffle", "--epochs", "1", "--log-every", "1", "--json",
            "--batch", str(options.batch), "--steps", str(options.steps),
            "--threads", str(options.threads), "--weights", str(path), *settings,
        )
    ours = json.loads(report.splitlines()[-1])
    theirs, speed = train_twin(graph, weights, images, labels, options)
    difference = largest_difference(ours["losses"], theirs)
    passed, control = difference <= options.tolerance, ""
    if options.control:
        exact, _ = train_twin(graph, weights, images, labels, options, torch.float64)
        of_ours, of_theirs = (largest_difference(a, exact) for a in (ours["losses"], theirs))
        control = f" (from f64: nasrl {of_ours:.1e}, torch {of_theirs:.1e})"
    print(
        f"{'PASS' if passed else 'FAIL'} {options.recipe}: largest difference {difference:.1e}"
        f"{control}, loss {theirs[0]:.4f} to {theirs[-1]:.4f};"
        f" nasrl {ours['images_per_second']:.0f}, torch {speed:.0f} images/s;"
        f" {graph['flops'] / 1e6:.0f} MFLOP: {tokens}",
        flush=True,
    )
    return passed


def largest_difference(losses, others):
    return max(abs(a - b) / abs(b) for a, b in zip(losses, others, strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nasrl", default="target/release/nasrl", help="the program")
    parser.add_argument("--space", default="nas-rl-cnn", help="a built-in space or a TOML file")
    parser.add_argument("--tokens", action="append", required=True, help="a child; may be repeated")
    parser.add_argument("--data", required=True, help="a folder of CIFAR-10 or IDX files")
    parser.add_argument("--recipe", choices=RECIPES, default="reference")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tolerance", type=float, default=1e-3)
    parser.add_argument(
        "--control",
        action="store_true",
        help="train the twin in f64 too and print how far both are from it: some children amplify"
        " roundings, and then PyTorch's own f32 is as far; it changes no PASS or FAIL",
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images, labels = read_images(options.data)
    if len(images) < options.steps * options.batch or options.steps <= SPEED_WARM_UP:
        parser.error(f"{len(images)} images are too few, or --steps {options.steps}")
    passed = [compare(options, tokens, images, labels) for tokens in options.tokens]
    sys.exit(0 if all(passed) else 1)


if __name__ == "__main__":
    main()
