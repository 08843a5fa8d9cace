# SPDX-License-Identifier: Apache-2.0
"""Networks of torchvision and timm: built from a seed, or with published weights."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.error import URLError

import timm
import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from veilset.errors import ConfigError, RunError
from veilset.files import sha256_file
from veilset.seeds import derive
from veilset.study.config import SOURCES, NetworkSpec
from veilset.types import ModelCard

# The last feature map that still has places, as the study's authors chose it for Grad-CAM;
# of the last three theirs is not known.
_CAM_LAYERS = {
    "AlexNet": "features",
    "VGG": "features",
    "SqueezeNet": "features",
    "DenseNet": "features",
    "MobileNetV2": "features",
    "ShuffleNetV2": "conv5",
    "ResNet": "layer4",
    "GoogLeNet": "inception5b",
    "Inception3": "Mixed_7c",
    "MNASNet": "layers",
}
# Networks of torchvision with a second and third output, which only training would use.
_WITH_AUXILIARY = ("googlenet", "inception_v3")
_AUXILIARY = ("aux1", "aux2", "AuxLogits")

AUXILIARY_WEIGHT = 0.4
"""Of the loss of a second or third output, as in PyTorch's tutorial on fine-tuning; the scripts
of torchvision for training have no loss for them."""

REFUSALS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip
"""What libraries raise where a network cannot be built, or cannot take a picture."""

_LISTED_BY = {
    "torchvision": "torchvision.models.list_models(torchvision.models)",
    "timm": "timm.list_models()",
}
# DenseNet's published weights carry the names of an older torchvision.
_OLD_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..+)")


def build(spec: NetworkSpec, n_classes: int, *, seed: int, as_published: bool = False) -> nn.Module:
    """Build a network with the initial weights of a seed, on the CPU.

    The weights are those of the library's own initialisation. The global random state is left
    as it was. GoogLeNet and Inception v3 have one output, unless ``arguments`` of the network
    say ``aux_logits: true``: Inception's second one takes pictures of 299 pixels, not of 224.

    Args:
        spec: Which network.
        n_classes: Number of its outputs, at least 1.
        seed: Seed of the run; networks of another name get other draws from it.
        as_published: Whether published weights will be put in: some networks take other colours
            with them.

    Raises:
        ConfigError: If the library does not know the network, or an argument of it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, "init", spec.name))
        if spec.source == "torchvision" and spec.model_name in _WITH_AUXILIARY:
            defaults = {"init_weights": True, "aux_logits": False, "transform_input": as_published}
            return _make(spec, n_classes, **defaults)
        return _make(spec, n_classes)


def _names(source: str) -> list[str]:
    if source == "timm":
        return list(timm.list_models())
    return list(torchvision.models.list_models(torchvision.models))


def check_name(spec: NetworkSpec) -> None:
    """Refuse a network whose library has no network for images of that name; none is built.

    Raises:
        ConfigError: If it has none; the nearest names are told.
    """
    known = _names(spec.source)
    if spec.model_name in known:
        return
    other = next(each for each in SOURCES if each != spec.source)
    near = difflib.get_close_matches(spec.model_name, known, n=3)
    if spec.model_name in _names(other):
        hint = f"{other} does: give source: {other}."
    elif near:
        hint = f"Did you mean {' or '.join(map(repr, near))}?"
    else:
        hint = f"Its names are given by {_LISTED_BY[spec.source]}."
    raise ConfigError(f"{spec.source} knows no network {spec.model_name!r}. {hint}")


def _make(spec: NetworkSpec, n_classes: int, **defaults: Any) -> nn.Module:
    check_name(spec)
    arguments = {**defaults, **spec.arguments, "num_classes": n_classes}
    try:
        made: nn.Module = (
            timm.create_model(spec.model_name, pretrained=False, **arguments)
            if spec.source == "timm"
            else torchvision.models.get_model(spec.model_name, weights=None, **arguments)
        )
    except (OSError, UnpicklingError, *REFUSALS) as error:
        # Of some errors the text is a lone word, as the key that a mapping lacks.
        why = str(error) if isinstance(error, TypeError | ValueError) else repr(error)
        raise ConfigError(
            f"The network {spec.name!r} cannot be built: {why}. Mend its 'arguments'."
        ) from error
    return made


def published(
    spec: NetworkSpec, weights: Path | None, *, n_classes: int = 1000
) -> tuple[nn.Module, ModelCard]:
    """Build a network with published weights, those of torchvision's first version.

    Args:
        spec: Which network.
        weights: Folder with ``<name>.safetensors`` or ``<name>.pth``; None for the cache of
            ``torch.hub``, into which they are fetched if they are not there. Nothing in a
            file is run: it is read as weights alone.
        n_classes: Number of outputs that they have.

    Returns:
        The network, in evaluation mode, and where its weights come from.

    Raises:
        ConfigError: If the library does not know the network, or publishes no weights for it.
        RunError: If the weights are missing, damaged, or of another network.
    """
    defaults: dict[str, Any] = {}
    if spec.source == "torchvision" and spec.model_name in _WITH_AUXILIARY:
        # The weights hold the further outputs, and expect colours on another scale.
        defaults = {"init_weights": False, "aux_logits": True, "transform_input": True}
    module = _make(spec, n_classes, **defaults)
    path, origin = _find(spec, weights)
    try:
        load_weights(module, _read_state(path))
    except RuntimeError as error:
        raise RunError(
            f"{path} does not hold the weights of {spec.name} with {n_classes} classes. "
            "Give the file of that network."
        ) from error
    card = ModelCard(
        name=spec.name,
        origin=origin,
        licence="not stated",
        commercial_ok=None,
        sha256=sha256_file(path),
        note="Trained on ImageNet.",
    )
    return module.eval(), card


def load_weights(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put weights into a network, all of them; its names and theirs have to be the same.

    Args:
        module: The network.
        state: Its weights by name, as a file of safetensors gives them.

    Raises:
        RuntimeError: If a name or a shape differs.
    """
    own = module.state_dict()
    named = type(own)(state)
    # Without versions MNASNet takes them for weights of an old one, and refuses them.
    named._metadata = getattr(state, "_metadata", None) or own._metadata
    module.load_state_dict(named)


def weights_url(spec: NetworkSpec) -> str:
    """Give the address of the first published weights of a network; nothing is fetched.

    Raises:
        ConfigError: If the library does not publish any that could be fetched.
    """
    if spec.source != "torchvision":
        raise ConfigError(
            f"The weights of {spec.name} have to lie in a folder: only those of torchvision are "
            "fetched. Give 'weights'."
        )
    try:
        return str(torchvision.models.get_model_weights(spec.model_name).IMAGENET1K_V1.url)
    except AttributeError as error:
        raise ConfigError(f"torchvision publishes no weights of {spec.model_name}.") from error


def without_auxiliary(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out the weights of second and third outputs that a network was built without.

    Args:
        module: The network that the weights will be put into.
        state: Weights by name.
    """
    absent = tuple(f"{name}." for name in _AUXILIARY if getattr(module, name, None) is None)
    is_with = hasattr(module, "aux_logits")
    return {key: w for key, w in state.items() if not (is_with and key.startswith(absent))}


def _find(spec: NetworkSpec, weights: Path | None) -> tuple[Path, str]:
    """Give the file of some weights, fetched if it has to be, and where it comes from."""
    if weights is not None:
        for ending in (".safetensors", ".pth"):
            path = weights / (spec.name + ending)
            if path.is_file():
                return path, path.name
        raise RunError(
            f"{weights} holds neither {spec.name}.safetensors nor {spec.name}.pth. "
            "Put one there, or leave 'weights' out to have them fetched."
        )
    url = weights_url(spec)
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        # The name ends with the first digits of the file's digest.
        digits = path.stem.rpartition("-")[2]
        try:
            torch.hub.download_url_to_file(url, str(path), digits, progress=False)
        except (URLError, OSError, RuntimeError) as error:
            raise RunError(
                f"The weights of {spec.name} cannot be fetched from {url} ({error}). "
                f"Put the file into {path.parent}, or give 'weights'."
            ) from error
    return path, url


def _read_state(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, OSError, EOFError, *REFUSALS) as error:
        raise RunError(f"{path} is damaged, or holds more than weights. Fetch it again.") from error
    # Training scripts save more beside the weights, and wrap the network for several GPUs.
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise RunError(f"{path} holds no weights by name. Give the file of that network.")
    for key in list(state):
        old = _OLD_DENSENET.fullmatch(key)
        name = (old[1] + old[2] if old else key).removeprefix("module.")
        if name != key:
            state[name] = state.pop(key)
    return state


def logits(module: nn.Module, x: Tensor) -> Tensor:
    """Give the scores of the classes alone, ``(B, K)``; some networks give more in training.

    Args:
        module: The network.
        x: ``(B, 3, S, S)`` float32.
    """
    output = module(x)
    scores: Tensor = output if isinstance(output, Tensor) else output[0]
    return scores


def training_loss(
    module: nn.Module, x: Tensor, loss: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Give the loss of a network in training, and its scores ``(B, K)``.

    The loss of each further output counts ``AUXILIARY_WEIGHT``; in evaluation there is none.

    Args:
        module: The network.
        x: ``(B, 3, S, S)`` float32.
        loss: Of scores ``(B, K)``.
    """
    output = module(x)
    if isinstance(output, Tensor):
        return loss(output), output
    scores, *others = output
    total = loss(scores)
    for each in others:
        if each is not None:
            total = total + AUXILIARY_WEIGHT * loss(each)
    return total, scores


def replace_head(module: nn.Module, n: int) -> nn.Module:
    """Give a network its last layer anew, for ``n`` outputs; the module is changed.

    The new layer has PyTorch's own initialisation, drawn from its global generator. So have
    those of second and third outputs, where there are any.

    Args:
        module: A network whose last layer is linear, or a convolution as in SqueezeNet.
        n: Number of outputs, at least 1.
    """
    name, old = _last_layer(module)
    if isinstance(old, nn.Linear):
        new: nn.Module = nn.Linear(old.in_features, n, bias=old.bias is not None)
    else:
        new = nn.Conv2d(old.in_channels, n, old.kernel_size, old.stride, old.padding)
    where, _, key = name.rpartition(".")
    setattr(module.get_submodule(where), key, new)
    if hasattr(module, "num_classes"):
        module.num_classes = n
    for further in _AUXILIARY:
        part = getattr(module, further, None)
        if isinstance(part, nn.Module):
            replace_head(part, n)
    return module


def _last_layer(module: nn.Module) -> tuple[str, Any]:
    layers = [(k, m) for k, m in module.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    if not layers:
        raise ConfigError(f"{type(module).__name__} has no last layer that could be replaced.")
    return layers[-1]


def cam_layer(module: nn.Module, spec: NetworkSpec) -> nn.Module:
    """Give the layer whose output is the last feature map that still has places.

    Args:
        module: The network.
        spec: Which it is.

    Raises:
        ConfigError: If it is not known for this network.
    """
    # Networks of timm say so themselves; some classes have the name of one of torchvision's.
    features: Sequence[Any] = getattr(module, "feature_info", ()) if spec.source == "timm" else ()
    if features:
        return module.get_submodule(features[-1]["module"])
    kind = type(module).__name__
    if spec.source == "timm" or kind not in _CAM_LAYERS:
        raise ConfigError(
            f"Where {spec.name} looks cannot be shown: its last feature map is not known. "
            f"Networks for which it is: {', '.join(sorted(_CAM_LAYERS))}."
        )
    return module.get_submodule(_CAM_LAYERS[kind])
