# SPDX-License-Identifier: Apache-2.0
"""Settings of the audit."""

from __future__ import annotations

from dataclasses import dataclass, field

from veilset.dataset.folder import SHARD_SIZE
from veilset.errors import ConfigError
from veilset.images.formats import DEFAULT_MAX_PIXELS
from veilset.protocols import RuntimeSettings

CATEGORY_SOURCES = ("auto", "folder", "wnid", "none")

FOLDER_RULES = {
    "auto": "the last folder on the path that is a WordNet identifier, else the folder that "
    "holds the image",
    "folder": "the folder that holds the image",
    "wnid": "the last folder on the path that is a WordNet identifier (n and 8 digits)",
    "none": "none: the images were not told apart by category",
}
"""What each source of categories means."""

OFF = "none"
"""Name that stands for no plugin."""

NSFW_DETECTOR = "nudenet-nsfw"


@dataclass(frozen=True, slots=True)
class DataCard:
    """What only the owner of a data set can say of it, for its card and its Croissant file.

    Attributes:
        name: Name of the data set; "" for that of its folder.
        description: What it holds, in a sentence or two.
        licence: Address or SPDX name of its licence.
        url: Address of its page.
        creators: Who made it.
        citation: How to cite it.
        version: Its version, as ``1.0.0``.
        published: Day of its publication, as ``2026-11-21``.
    """

    name: str = ""
    description: str = ""
    licence: str = ""
    url: str = ""
    creators: tuple[str, ...] = ()
    citation: str = ""
    version: str = ""
    published: str = ""


@dataclass(frozen=True, slots=True)
class AuditConfig:
    """Everything that decides what an audit counts.

    Nothing is estimated unless it is asked for: it means that every image is opened, and what
    comes out are guesses about people.

    Attributes:
        kind: Kind of region that is counted.
        min_score: Regions with a lower score are left out; those without one, and those
            that people reviewed, never are.
        within: Only images below this folder, as ``train``; "" for all.
        categories: Where the category of an image comes from when no mapping file is given:
            ``auto``, ``folder``, ``wnid`` or ``none``.
        synsets: Supercategories: identifiers or names of WordNet.
        min_categories: Every synset with at least so many categories is a supercategory;
            0 for those of ``synsets`` only.
        n_listed: Categories in the lists of most and least.
        iou: A reference region is found by a detection from this IoU on.
        covered: It is protected if this share of its pixels lies in the union of the
            detections, enlarged.
        enlarge: By how much of its width and height a detection is enlarged on each side,
            as obfuscation does; 0.2 is what the default method ``veil`` adds.
        min_faces: Groups with fewer reference regions are not compared.
        min_images: Groups whose reference regions are in fewer images are not compared.
        skin_tone: Also group reference faces by the crude skin tone proxy.
        demographics: Plugin that estimates age and gender of faces, or ``none``.
        classify: Plugin that says what an image shows, or ``none``. Its likeliest label is the
            category of an image when no mapping file is given.
        nsfw: Whether to search for regions of kind ``nsfw``, for people to review; a text names
            the detector plugin.
        labelled: How many pictures with labelled faces to draw for private use; 0 for none.
        device: ``cpu`` or ``cuda``, for what is estimated; likewise the rest.
        precision: ``full`` or ``fast``.
        runtime: ``auto``, ``openvino`` or ``onnxruntime``.
        commercial_ok: Refuse weights unless their licence allows commercial use.
        max_pixels: Images with more pixels are refused before they are decoded.
        shard_size: Images in a shard, the unit of work and of resume.
        card: What only the owner can say.

    Raises:
        ConfigError: If a value cannot be used.
    """

    kind: str = "face"
    min_score: float = 0.0
    within: str = ""
    categories: str = "auto"
    synsets: tuple[str, ...] = ()
    min_categories: int = 0
    n_listed: int = 10
    iou: float = 0.5
    covered: float = 0.9
    enlarge: float = 0.2
    min_faces: int = 30
    min_images: int = 10
    skin_tone: bool = False
    demographics: str = OFF
    classify: str = OFF
    nsfw: bool | str = False
    labelled: int = 0
    device: str = "cpu"
    precision: str = "full"
    runtime: str = "auto"
    commercial_ok: bool = False
    max_pixels: int = DEFAULT_MAX_PIXELS
    shard_size: int = SHARD_SIZE
    card: DataCard = field(default_factory=DataCard)

    def __post_init__(self) -> None:
        if self.categories not in CATEGORY_SOURCES:
            raise ConfigError(
                f"categories is {self.categories!r}. Give one of: {', '.join(CATEGORY_SOURCES)}."
            )
        if not self.kind:
            raise ConfigError("kind is empty. Give the kind of region to count, as 'face'.")
        for name in ("min_score", "iou", "covered", "enlarge"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ConfigError(f"{name} is {value}. Give a number from 0 to 1.")
        for name, least in (
            ("min_categories", 0),
            ("n_listed", 1),
            ("min_faces", 2),
            ("min_images", 2),
            ("labelled", 0),
            ("max_pixels", 1),
            ("shard_size", 1),
        ):
            value = getattr(self, name)
            if value < least:
                raise ConfigError(f"{name} is {value}. Give a whole number from {least} on.")
        if self.iou == 0 or self.covered == 0:
            raise ConfigError("iou or covered is 0, so that everything would be found.")
        for name in ("demographics", "classify", "nsfw"):
            if getattr(self, name) == "":
                raise ConfigError(f"{name} is empty. Give the name of a plugin, or {OFF!r}.")

    @property
    def nsfw_detector(self) -> str:
        """Name of the detector for regions of kind ``nsfw``, ``none`` for no such search."""
        if isinstance(self.nsfw, str):
            return self.nsfw
        return NSFW_DETECTOR if self.nsfw else OFF

    @property
    def looks(self) -> bool:
        """Whether every image has to be opened, for something to be estimated."""
        return {self.demographics, self.classify, self.nsfw_detector} != {OFF}

    def runtime_settings(self, n_threads: int) -> RuntimeSettings:
        """Give what an estimator has to know."""
        return RuntimeSettings(self.device, self.precision, self.runtime, n_threads)
