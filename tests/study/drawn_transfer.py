# SPDX-License-Identifier: Apache-2.0
"""Small data sets in the official layouts of the tasks of transfer, drawn."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CIFAR_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


def drawn(number: int, shade: int, size_wh: tuple[int, int] = (48, 40)) -> Image.Image:
    """Draw a picture whose main colour tells its class and whose noise tells its number."""
    generator = np.random.default_rng(number)
    noise = generator.integers(0, 60, (size_wh[1], size_wh[0], 3))
    colour = np.array([(shade * 83) % 180, (shade * 47) % 180, (shade * 131) % 180])
    return Image.fromarray((noise + colour).astype(np.uint8))


def cifar_batch(first: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Give classes and pixels of a batch, ``(n,)`` and ``(n, 3072)``."""
    labels = np.arange(first, first + n) % 10
    pixels = [
        np.asarray(drawn(first + i, label, (32, 32))).transpose(2, 0, 1).reshape(-1)
        for i, label in enumerate(labels.tolist())
    ]
    return labels.astype(np.uint8), np.stack(pixels).astype(np.uint8)


def draw_cifar(folder: Path, *, n: int = 8, n_test: int = 10, binary: bool = True) -> Path:
    """Write the files of CIFAR-10, ``n`` pictures in each of five batches."""
    folder.mkdir(parents=True)
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    for position, name in enumerate(names):
        labels, pixels = cifar_batch(position * n, n_test if name == "test_batch" else n)
        if binary:
            records = np.concatenate([labels[:, None], pixels], axis=1)
            (folder / f"{name}.bin").write_bytes(records.tobytes())
        else:
            (folder / name).write_bytes(python2_batch(labels, pixels))
    if binary:
        (folder / "batches.meta.txt").write_text("\n".join(CIFAR_CLASSES) + "\n\n")
    else:
        body = _list([_text(name.encode()) for name in CIFAR_CLASSES])
        meta = b"\x80\x02}(" + _text(b"label_names") + body + b"u."
        (folder / "batches.meta").write_bytes(meta)
    return folder


def _text(text: bytes) -> bytes:
    """A ``str`` of Python 2: SHORT_BINSTRING or BINSTRING."""
    if len(text) < 256:
        return b"U" + bytes([len(text)]) + text
    return b"T" + struct.pack("<i", len(text)) + text


def _int(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _list(items: list[bytes]) -> bytes:
    return b"](" + b"".join(items) + b"e"


def python2_batch(labels: np.ndarray, pixels: np.ndarray) -> bytes:
    """Write a batch as cPickle of Python 2 with protocol 2 did, operation by operation."""
    element = b"cnumpy\ndtype\n" + _text(b"u1") + _int(0) + _int(1) + b"\x87R"
    element += b"(" + _int(3) + _text(b"|") + b"NNN" + _int(-1) + _int(-1) + _int(0) + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
    array += _int(0) + b"\x85" + _text(b"b") + b"\x87R"
    array += b"(" + _int(1) + _int(pixels.shape[0]) + _int(pixels.shape[1]) + b"\x86"
    array += element + b"\x89" + _text(pixels.tobytes()) + b"tb"
    parts = [
        _text(b"batch_label"), _text(b"training batch 1 of 5"),
        _text(b"labels"), _list([_int(int(label)) for label in labels]),
        _text(b"data"), array,
        _text(b"filenames"), _list([_text(b"drawn.png")] * len(labels)),
    ]  # fmt: skip
    return b"\x80\x02}(" + b"".join(parts) + b"u."


SUN_CLASSES = ("a/abbey", "a/apartment_building/outdoor", "b/bakery/shop", "z/zen_garden")


def draw_sun(root: Path, *, n: int = 5, n_test: int = 3) -> Path:
    """Write a SUN397 of four classes."""
    (root / "Partitions").mkdir(parents=True)
    (root / "ClassName.txt").write_text("".join(f"/{name}\n" for name in SUN_CLASSES))
    for part, first, count in (("Training", 0, n), ("Testing", n, n_test)):
        lines = []
        for shade, name in enumerate(SUN_CLASSES):
            (root / name).mkdir(parents=True, exist_ok=True)
            for number in range(first, first + count):
                image_id = f"{name}/sun_{number:04d}.jpg"
                drawn(number, shade).save(root / image_id, quality=95)
                lines.append(f"/{image_id}\n")
        (root / "Partitions" / f"{part}_01.txt").write_text("".join(lines))
    return root


def draw_celeba(root: Path, *, n: int = 24, n_attributes: int = 5) -> Path:
    """Write a CelebA; each third picture is for testing. The last attribute never occurs."""
    (root / "img_align_celeba").mkdir(parents=True)
    names = [f"{number:06d}.jpg" for number in range(1, n + 1)]
    lines = [str(n), " ".join(f"Attribute_{number}" for number in range(n_attributes))]
    for number, name in enumerate(names):
        drawn(number, number % 4, (36, 44)).save(root / "img_align_celeba" / name, quality=95)
        marks = [number % (a + 2) == 0 and a < n_attributes - 1 for a in range(n_attributes)]
        lines.append(f"{name} " + " ".join(" 1" if mark else "-1" for mark in marks))
    (root / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    parts = ["0" if number % 3 else "2" for number in range(n)]
    text = "".join(f"{name} {part}\n" for name, part in zip(names, parts, strict=True))
    (root / "list_eval_partition.txt").write_text(text)
    return root


OBJECT = """<object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated>
<difficult>{difficult}</difficult><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax>
<ymax>{y1}</ymax></bndbox>{part}</object>"""
HEAD = (
    "<part><name>head</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>12</xmax>"
    "<ymax>12</ymax></bndbox></part>"
)


def draw_voc(root: Path, *, n: int = 2, n_test: int = 2) -> Path:
    """Write VOC 2007 and 2012: in each picture a person, and a dog that is difficult."""
    for year, part, first, count in (
        ("VOC2007", "trainval", 0, n),
        ("VOC2007", "test", n, n_test),
        ("VOC2012", "trainval", 100, n),
    ):
        folder = root / year
        for name in ("ImageSets/Main", "Annotations", "JPEGImages"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        names = [f"{number:06d}" for number in range(first, first + count)]
        (folder / "ImageSets/Main" / f"{part}.txt").write_text("\n".join(names) + "\n")
        for number, name in enumerate(names, first):
            _draw_scene(folder, name, number)
    return root


def _draw_scene(folder: Path, name: str, number: int) -> None:
    picture = drawn(number, number, (96, 80))
    x0 = 9 + number % 7
    ImageDraw.Draw(picture).rectangle((x0 - 1, 9, x0 + 29, 59), fill=(250, 240, 30))
    picture.save(folder / "JPEGImages" / f"{name}.jpg", quality=95)
    person = OBJECT.format(name="person", difficult=0, x0=x0, y0=10, x1=x0 + 30, y1=60, part=HEAD)
    dog = OBJECT.format(name="dog", difficult=1, x0=60, y0=40, x1=90, y1=80, part="")
    (folder / "Annotations" / f"{name}.xml").write_text(
        f"<annotation><filename>{name}.jpg</filename><size><width>96</width>"
        f"<height>80</height><depth>3</depth></size>{person}{dog}</annotation>"
    )
