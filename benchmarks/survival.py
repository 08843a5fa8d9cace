# SPDX-License-Identifier: Apache-2.0
"""Measure what each method, and each known failure, leaves of real faces.

    python benchmarks/survival.py DATA [--count 700] [--sizes 8,10,16,24,48,96,300]

DATA holds ``celeba_faces`` (aligned faces, used up to 110 px) and ``wider_val_subset``
(faces of at least 180 px, used for all sizes). Every face is scaled so that its longer side
has the stated size, obfuscated with the defaults, and measured by ``veilset.survival``, once
as it is and once after JPEG at quality 75 with 4:2:0. Lines with ``~`` are failures that have
to be found: an untouched face, one blurred with 0.02 of its diagonal, one that shows through
at 87 % (the small face beside a large one), one half of which was left, and one at a tenth
of its contrast. For methods the 99.9 % quantile and the highest value count, for failures
the lowest; the last column is the share on the wrong side of the limit.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image as PilImage
from PIL import ImageFilter

from veilset.obfuscate.per_region import MAX_SURVIVAL
from veilset.plugins import list_plugins, make_obfuscator
from veilset.survival import survival
from veilset.types import BoxXyxy, Image, Region

Face = tuple[PilImage.Image, BoxXyxy, int]
CELEBA_BOX = (50.0, 72.0, 128.0, 172.0)
CONTEXT = 0.6


def wider_faces(root: Path, at_least_px: int = 180) -> list[tuple[str, BoxXyxy]]:
    """Large, valid, sharp faces of the official annotation."""
    lines = (root / "wider_face_val_bbx_gt.subset.txt").read_text().splitlines()
    found: list[tuple[str, BoxXyxy]] = []
    name = ""
    for line in lines:
        if line.endswith(".jpg"):
            name = line
            continue
        x, y, w, h, blur, _, _, invalid, *_ = [*map(int, line.split()), *[0] * 8]
        if max(w, h) >= at_least_px and min(w, h) >= 0.6 * at_least_px and not blur + invalid:
            found.append((name, (x, y, x + w, y + h)))
    return found


def faces(data: Path, count: int) -> Iterator[Face]:
    """Give pictures with one box and the largest size at which to use it."""
    rng = np.random.default_rng(0)
    celeba = sorted((data / "celeba_faces" / "images").glob("*"))
    for index in rng.permutation(len(celeba))[:count]:
        yield PilImage.open(celeba[index]).convert("RGB"), CELEBA_BOX, 110
    root = data / "wider_val_subset"
    paths = {path.name: path for path in root.rglob("*.jpg")}
    wider = wider_faces(root)
    for index in rng.permutation(len(wider))[: count // 2]:
        name, box = wider[index]
        yield PilImage.open(paths[Path(name).name]).convert("RGB"), box, 100_000


def scaled(face: Face, size: int) -> tuple[PilImage.Image, BoxXyxy]:
    """Cut out the face with its surroundings, its longer side scaled to ``size`` px."""
    picture, (x0, y0, x1, y1), _ = face
    k = size / max(x1 - x0, y1 - y0)
    left = int(max(0, x0 - CONTEXT * (x1 - x0)))
    top = int(max(0, y0 - CONTEXT * (y1 - y0)))
    right = int(min(picture.width, x1 + CONTEXT * (x1 - x0)))
    bottom = int(min(picture.height, y1 + CONTEXT * (y1 - y0)))
    cut = picture.crop((left, top, right, bottom))
    size_wh = (max(8, round(cut.width * k)), max(8, round(cut.height * k)))
    smaller = cut.resize(size_wh, PilImage.Resampling.LANCZOS)
    return smaller, ((x0 - left) * k, (y0 - top) * k, (x1 - left) * k, (y1 - top) * k)


def compressed(image: Image) -> Image:
    buffer = io.BytesIO()
    PilImage.fromarray(image).save(buffer, "JPEG", quality=75)
    return np.asarray(PilImage.open(buffer).convert("RGB"))


def failures(picture: PilImage.Image, box: BoxXyxy) -> dict[str, Image]:
    """What must never pass for obfuscated."""
    image = np.asarray(picture)
    diagonal = float(np.hypot(box[2] - box[0], box[3] - box[1]))
    light = picture.filter(ImageFilter.GaussianBlur(0.02 * diagonal))
    heavy = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.5 * diagonal)))
    half = make_obfuscator("veil", {}).obfuscate(image, [Region(box)])
    middle = int((box[1] + box[3]) / 2)
    half[middle:] = image[middle:]
    return {
        "~untouched": image,
        "~blur 0.02": np.asarray(light),
        "~shows 87 %": np.rint(0.87 * image + 0.13 * heavy).astype(np.uint8),
        "~half left": half,
        "~contrast 10 %": np.rint(0.1 * image).astype(np.uint8),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=700)
    parser.add_argument("--generator", help="Also measure 'synthesize', with this generator.")
    parser.add_argument("--sizes", default="8,10,16,24,48,96,300")
    options = parser.parse_args()
    sizes = [int(text) for text in options.sizes.split(",")]
    names = [info.name for info in list_plugins("obfuscator")]
    methods = {name: make_obfuscator(name, {}) for name in names if name != "synthesize"}
    if options.generator:
        methods["synthesize"] = make_obfuscator("synthesize", {"model": options.generator})
    limits = {name: method.card.max_survival for name, method in methods.items()}
    found: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    for face in faces(options.data, options.count):
        for size in (s for s in sizes if s <= face[2]):
            picture, box = scaled(face, size)
            image = np.asarray(picture)
            outs = {n: m.obfuscate(image, [Region(box)]) for n, m in methods.items()}
            for name, out in (outs | failures(picture, box)).items():
                found[name, size, "plain"].append(survival(image, out, box))
                found[name, size, "jpeg"].append(survival(image, compressed(out), box))
    print("n =", {size: len(found["veil", size, "plain"]) for size in sizes})
    for name in sorted({key[0] for key in found}, key=lambda n: (n[0] == "~", n)):
        limit = limits.get(name, MAX_SURVIVAL)
        for kind in ("plain", "jpeg"):
            cells = []
            for size in sizes:
                values = np.array(found[name, size, kind])
                fails = values <= limit if name[0] == "~" else values > limit
                shown = (
                    (values.min(), np.median(values))
                    if name[0] == "~"
                    else (np.quantile(values, 0.999), values.max())
                )
                cells.append(f"{shown[0]:.2f} {shown[1]:.2f} ({fails.mean():.4f})")
            print(f"{name:15s} {kind:5s} limit {limit:.2f} | " + " | ".join(cells))
    return 0


if __name__ == "__main__":
    sys.exit(main())
