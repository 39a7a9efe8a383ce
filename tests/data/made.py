"""Small data sets in the files of the large ones, made in the test."""

import gzip
import struct

import numpy as np

CIFAR_FILES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
PROTO, STOP, MARK, SETITEMS, APPENDS = b"\x80\x02", b".", b"(", b"u", b"e"


def cifar_images(count, seed=0):
    """Pixels, shape (count, 3072), and labels of `count` images: each class its own colour, under noise."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    colours = np.random.default_rng(99).integers(40, 216, (10, 3))
    pixels = colours[labels][:, :, None] + draw.integers(-40, 40, (count, 3, 1024))
    return pixels.reshape(count, 3072).astype(np.uint8), labels


def text(value):
    """A string of Python 2."""
    return b"U" + bytes([len(value)]) + value


def number(value):
    return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)


def python_2_batch(pixels, labels):
    """A batch as the real files are: a pickle of Python 2 with its strings, and an array of NumPy."""
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x02(cnumpy\nndarray\nq\x03" + number(0) + b"\x85"
    array += text(b"b") + b"tRq\x04"
    kind = b"cnumpy\ndtype\nq\x05(" + text(b"u1") + number(0) + number(1) + b"tR("
    kind += number(3) + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff" + number(0) + b"tb"
    content = b"T" + struct.pack("<i", pixels.size) + pixels.tobytes()
    shape = MARK + number(len(pixels)) + number(pixels.shape[1]) + b"t"
    array += MARK + number(1) + shape + kind + b"\x89" + content + b"tb"
    classes = b"]q\x06" + MARK + b"".join(map(number, map(int, labels))) + APPENDS
    entries = text(b"batch_label") + text(b"a batch") + text(b"labels") + classes + text(b"data") + array
    return PROTO + b"}q\x01" + MARK + entries + SETITEMS + STOP


def binary_batch(pixels, labels):
    return np.concatenate([np.asarray(labels, dtype=np.uint8)[:, None], pixels], axis=1).tobytes()


def cifar_files(form="python", per_batch=10):
    """Pairs of name and bytes; the order of the images is that of the files."""
    folder, end = ("cifar-10-batches-py", "") if form == "python" else ("cifar-10-batches-bin", ".bin")
    batch = python_2_batch if form == "python" else binary_batch
    found = [(f"{folder}/{name}{end}", batch(*cifar_images(per_batch, i))) for i, name in enumerate(CIFAR_FILES)]
    return [*found, (f"{folder}/readme.html", b"<html>")]


def all_images(per_batch=10):
    parts = [cifar_images(per_batch, i) for i in range(6)]
    return np.concatenate([p for p, _ in parts]), np.concatenate([labels for _, labels in parts])


def idx(values):
    """An array of bytes as an idx file."""
    return bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def idx_files(train=30, test=10, side=28, compressed=True):
    """Pairs of name and bytes of a data set like MNIST: each class a bar at a place of its own, under noise."""
    files = []
    for part, count, seed in (("train", train, 0), ("t10k", test, 1)):
        images = np.random.default_rng(seed).integers(0, 60, (count, side, side), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[side * int(label) // 10 : side * int(label) // 10 + 3] = 200
        for name, values in (("images-idx3", images), ("labels-idx1", labels)):
            data = idx(values)
            end = ".gz" if compressed else ""
            files.append((f"{part}-{name}-ubyte{end}", gzip.compress(data) if compressed else data))
    return files
