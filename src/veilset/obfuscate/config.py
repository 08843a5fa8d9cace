# SPDX-License-Identifier: Apache-2.0
"""Everything that decides an output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from veilset.annotations.hiding import check_hiding, is_hidden
from veilset.annotations.layer import Layer
from veilset.dataset.folder import SHARD_SIZE
from veilset.errors import ConfigError
from veilset.images.decode import DEFAULT_MAX_PIXELS
from veilset.images.encode import DEFAULT_QUALITY
from veilset.protocols import Obfuscator
from veilset.types import Region

Parameters = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class ObfuscateConfig:
    """Everything that decides the output.

    Attributes:
        method: Name of the obfuscator plugin.
        parameters: Its parameters; what is not named keeps its default.
        kinds: Kinds of regions to hide; empty for all.
        min_score: Regions of a detector with a lower score are left alone, in [0, 1]; never
            one that people reviewed.
        metadata: ``safe`` or ``strip``: what embedded metadata survives.
        quality: Quality of re-encoded lossy WebP and AVIF, 1 to 100. JPEG is never re-encoded.
        seed: Decides whatever is random in a method.
        max_pixels: Images with more pixels are refused before they are decoded.
        shard_size: Images in a shard, the unit of work and of resume.
    """

    method: str = "veil"
    parameters: Parameters = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    min_score: float = 0.0
    metadata: str = "safe"
    quality: int = DEFAULT_QUALITY
    seed: int = 0
    max_pixels: int = DEFAULT_MAX_PIXELS
    shard_size: int = SHARD_SIZE

    def __post_init__(self) -> None:
        check_hiding(self.metadata, self.min_score, self.quality)

    def applies_to(self, region: Region) -> bool:
        """Whether a region is to be hidden."""
        return is_hidden(region, self.kinds, self.min_score)

    def of_layer(self, layer: Layer) -> ObfuscateConfig:
        """Give the settings with which a redaction layer is applied: the layer decides the output.

        Raises:
            ConfigError: If one that the layer decides was set to something else.
        """
        facts, plain = layer.facts, ObfuscateConfig()
        decided = {name: getattr(facts, name) for name in _OF_LAYER}
        for name, value in decided.items():
            mine = getattr(self, name)
            if mine not in (value, getattr(plain, name)):
                raise ConfigError(
                    f"The layer {layer.path} decides {name}: {value!r}. It cannot be {mine!r}: "
                    "leave it out, or ask for a layer made so."
                )
        return replace(self, **decided)


_OF_LAYER = ("method", "parameters", "kinds", "min_score", "metadata", "quality", "seed")


def resolved(config: ObfuscateConfig, obfuscator: Obfuscator) -> dict[str, object]:
    """Give what decides the result, for the run manifest: resolved, not as asked for."""
    card = obfuscator.card
    method = {field.name: getattr(card, field.name) for field in fields(card)}
    if not card.draws_faces:
        # Not said of the others, so that a run from before this was a promise goes on.
        del method["draws_faces"]
    return {
        "method": method | {"parameters": dict(card.parameters)},
        "kinds": sorted(config.kinds),
        "min_score": config.min_score,
        "metadata": config.metadata,
        "quality": config.quality,
        "seed": config.seed,
        "max_pixels": config.max_pixels,
        "shard_size": config.shard_size,
    }
