# SPDX-License-Identifier: Apache-2.0
"""Options that several verbs share, and how their texts become settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from veilset.errors import ConfigError
from veilset.protocols import EngineSettings

Photos = Annotated[
    str,
    typer.Argument(
        help="Folder of images, of tar files or of Parquet files, nested in any way, or its URL."
    ),
]
PhotoFolder = Annotated[Path, typer.Argument(help="Folder of images, nested in any way.")]
Out = Annotated[str, typer.Argument(help="Folder or URL for the obfuscated data set.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Workers = Annotated[
    int | None,
    typer.Option(help="Threads to use; all cores if not given. Never changes the result."),
]
Layout = Annotated[
    str,
    typer.Option(
        help="folder: images are files; webdataset, parquet: tar or Parquet files hold them; list: "
        "a text file names them; coco: images and COCO's JSON; auto: look which of them it is, "
        "but coco only where one JSON is given."
    ),
]
Engine = Annotated[
    str, typer.Option(help="What runs the shards: local, or ray for a cluster of machines.")
]
Address = Annotated[
    str,
    typer.Option(
        help="Ray cluster: auto (the one that runs here), HOST:PORT, or local (one that lives "
        "as long as this command)."
    ),
]
Gpus = Annotated[
    float,
    typer.Option(help="GPUs for each Ray actor; 0.5 lets two share one.", min=0.0),
]
Processes = Annotated[
    int,
    typer.Option(
        help="Processes of this machine that share the workers; 0: as many, if there is enough "
        "to do for them. Each loads its own network.",
        min=0,
    ),
]
Detector = Annotated[str, typer.Option(help="Detector plugin; 'veilset plugins' lists them.")]
Weights = Annotated[
    str | None, typer.Option(help="Weight file, for detectors that bring none of their own.")
]
WeightsLicence = Annotated[
    str, typer.Option(help="Licence of that weight file, as its owner states it.")
]
Effort = Annotated[str, typer.Option(help="fast, balanced or thorough.")]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="Lowest detector score that counts, 0 to 1; the detector's own if not given."
    ),
]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Precision = Annotated[
    str, typer.Option(help="full (float32), or fast (bfloat16, where the CPU has it).")
]
Runtime = Annotated[str, typer.Option(help="auto, openvino or onnxruntime.")]
CommercialOk = Annotated[
    bool,
    typer.Option(
        "--commercial-ok", help="Refuse weights unless their licence allows commercial use."
    ),
]
MaxPixels = Annotated[
    int, typer.Option(help="Refuse images with more pixels, before they are decoded.")
]
ShardSize = Annotated[
    int, typer.Option(help="Images in a shard, the unit of work and of resume.", min=1)
]
Method = Annotated[str, typer.Option(help="Obfuscator plugin; 'veilset plugins' lists them.")]
Parameter = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="A parameter of the method, NAME=VALUE; may be repeated.",
        metavar="NAME=VALUE",
    ),
]
Metadata = Annotated[
    str,
    typer.Option(help="safe: drop whatever can identify; strip: keep colour profile and rotation."),
]
Quality = Annotated[
    int, typer.Option(help="Quality of re-encoded lossy WebP and AVIF, 1 to 100.", min=1, max=100)
]
LeakScore = Annotated[
    float, typer.Option(help="A missed face that scores at least this is a leak, 0 to 1.")
]
Recheck = Annotated[
    str,
    typer.Option(
        help="Which outputs are searched again: touched (and a sample of the others), sample, "
        "all, none."
    ),
]
VerifyEffort = Annotated[
    str | None,
    typer.Option(help="Effort of the second look; one step above the release's if not given."),
]
Seed = Annotated[int, typer.Option(help="Decides whatever is random.")]
Record = Annotated[
    Path | None,
    typer.Option(
        help="Folder for records and report; OUT.veilset, beside OUT, if not given. Needed where "
        "OUT is a URL."
    ),
]


def parse_parameters(pairs: list[str] | None) -> dict[str, str | int | float | bool]:
    """Turn ``NAME=VALUE`` texts into a mapping; values stay texts until the plugin is known.

    Raises:
        ConfigError: If a text has no ``=``.
    """
    result: dict[str, str | int | float | bool] = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {pair!r} is not of the form NAME=VALUE.")
        result[name.strip()] = value.strip()
    return result


def one_of_two(annotations: Path | None, layer: Path | None) -> Path:
    """Give the annotation set or the redaction layer, whichever was named.

    Raises:
        BadParameter: If both were, or neither.
        ConfigError: If the layer is no file.
    """
    if annotations is not None and layer is None:
        return annotations
    if layer is None or annotations is not None:
        raise typer.BadParameter("Give either --annotations ANNOTATIONS or --layer LAYER.arrow.")
    if not layer.is_file():
        raise ConfigError(f"There is no redaction layer {layer}. Check the path.")
    return layer


def engine_settings(engine: str, address: str, gpus: float, processes: int) -> EngineSettings:
    """Put the options of the engine together."""
    return EngineSettings(engine, address, gpus, n_processes=processes)


def parse_seconds(names: list[str] | None) -> tuple[str, ...] | None:
    """Turn the values of ``--second`` into detector names; None asks for all installed ones."""
    if names is None or not names:
        return None
    return tuple(name for name in names if name != "none")


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """Turn ``64,128`` into numbers.

    Raises:
        ConfigError: If a part is none.

    Example:
        >>> whole_numbers("64, 128", "--widths")
        (64, 128)
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{option} is {text!r}. Give whole numbers as 64,128.") from error
