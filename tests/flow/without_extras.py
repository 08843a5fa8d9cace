# SPDX-License-Identifier: Apache-2.0
"""Runs every command as somebody has it who installed no extra: a program of its own.

    python -m tests.flow.without_extras FOLDER

FOLDER has ``photos`` and ``boxes``. Prints what became of each command, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

# What the extras of pyproject.toml bring; the base install brings none of it.
EXTRA_MODULES = (
    "alembic", "aiobotocore", "boto3", "botocore", "dlib", "duckdb", "fastapi", "fsspec", "gensim",
    "lightning_fabric", "matplotlib", "onnxruntime", "psycopg", "pycocotools", "pytorch_grad_cam",
    "ray", "resvg_py", "s3fs", "safetensors", "scipy", "skimage", "sklearn", "sqlalchemy", "timm",
    "torch", "torchmetrics", "torchvision", "tqdm", "ttach", "uvicorn",
)  # fmt: skip

NUMBERS = {"budget", "cents", "hits", "n", "reward"}

# What the base install does whole, in this order; each has what those before it wrote.
WHOLE = {
    "run": "photos out",
    "detect": "photos -o new/detected",
    "obfuscate": "photos -a boxes -o new/obfuscated",
    "verify": "photos out -a out.veilset/annotations",
    "layer": "boxes new/layer.arrow",
    "report": "out",
    "remove": "out --image 00.png --reason asked",
    "plugins": "",
    "annotations formats": "",
    "annotations export": "boxes -o new/boxes.json -f coco",
    "annotations import": "new/boxes.json -o new/imported -f coco",
    "study example": "imagenette",
    "attack list": "",
}


def commands() -> dict[str, list[Any]]:
    """Give the parameters of each command that have to be given, by the words that call it."""
    import typer

    from veilset.cli.app import app

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, list[Any]]]:
        if hasattr(command, "commands"):
            for name, each in command.commands.items():
                yield from walk(each, (*words, name))
        else:
            yield " ".join(words), [each for each in command.params if each.required]

    return dict(walk(typer.main.get_command(app), ()))


def words_for(command: str, needed: list[Any], folder: Path) -> list[str]:
    """Give a command line that asks for work on the folder."""
    if command in WHOLE:
        return [*command.split(), *WHOLE[command].split()]
    known = {"photos": folder / "photos", "folders": folder / "photos"}
    known |= {"annotations": folder / "boxes", "before": folder / "boxes"}
    new = folder / "new" / command.replace(" ", "-")
    words = command.split()
    for each in needed:
        value = "1" if each.name in NUMBERS else str(known.get(each.name, new))
        words += [each.opts[0], value] if each.param_type_name == "option" else [value]
    return words


def outcome(words: list[str]) -> tuple[int, str]:
    """Run a command in a process of its own; give its exit status and what it complained of."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writing, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        from veilset.cli import main

        sys.argv = ["veilset", *words]
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException as error:
            sys.stderr.write(f"Traceback: {error!r}\n")
            status = 99
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as stream:
        said = stream.read()
    _, ended = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended), said


def main() -> None:
    """Run them all."""
    for name in EXTRA_MODULES:
        sys.modules[name] = None  # type: ignore[assignment]  # an import of it fails from now on
    folder = Path(sys.argv[1])
    os.chdir(folder)
    # A review without a database of its own would open the user's.
    os.environ["HOME"] = str(folder)
    (folder / "new").mkdir()
    needed = commands()
    order = [*WHOLE, *(each for each in needed if each not in WHOLE)]
    found = {each: outcome(words_for(each, needed[each], folder)) for each in order}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
