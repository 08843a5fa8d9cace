# SPDX-License-Identifier: Apache-2.0
"""What the client is made from, and how it gets into a package."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sysconfig
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import REPOSITORY

WEB = REPOSITORY / "web"
PLACES = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
NPX = shutil.which("npx", path=PLACES)

needs_node = pytest.mark.skipif(
    NPX is None or not (WEB / "node_modules").is_dir(),
    reason="Node.js or the packages of the client are not installed (make client)",
)


def npx(*command: str) -> None:
    assert NPX is not None
    done = subprocess.run(
        [NPX, "--no-install", *command], cwd=WEB, env={**os.environ, "PATH": PLACES},
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def build_client() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_client", REPOSITORY / "build_client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@needs_node
def test_the_types_are_those_of_the_api(tmp_path: Path) -> None:
    npx("openapi-typescript", "openapi.json", "--output", str(tmp_path / "schema.d.ts"))
    known = (WEB / "src" / "api" / "schema.d.ts").read_text("utf-8")
    assert (tmp_path / "schema.d.ts").read_text("utf-8") == known, "run: npm run types, in web/"


@needs_node
def test_the_sources_are_typed_and_tidy() -> None:
    npx("tsc", "--noEmit")
    npx("prettier", "--check", "src", "tests", "*.ts", "index.html")


@needs_node
def test_the_logic_of_the_client() -> None:
    npx("vitest", "run")


def test_the_lock_file_names_no_registry_and_keeps_digests() -> None:
    locked = json.loads((WEB / "package-lock.json").read_text("utf-8"))["packages"]
    assert not [name for name, entry in locked.items() if "resolved" in entry]
    assert all(entry.get("integrity") for name, entry in locked.items() if name)


def test_the_sources_ask_no_stranger_for_anything() -> None:
    sources = [path for path in (WEB / "src").rglob("*") if path.suffix in (".ts", ".tsx", ".css")]
    named = {
        str(path.relative_to(WEB)): found
        for path in [*sources, WEB / "index.html"]
        if (found := re.findall(r"https?://[^\s\"'`<]+", path.read_text("utf-8")))
    }
    assert not named
    assert len(sources) > 30


def test_what_is_shown_never_promises_to_anonymize() -> None:
    # The word is forbidden in what people read; built from parts, for a test of the same kind.
    word = "anonymi"
    for path in (WEB / "src").rglob("*.ts*"):
        assert word not in path.read_text("utf-8").lower(), path


def _copy_of_sources(folder: Path) -> Path:
    for name in ("package.json", "package-lock.json", ".npmrc", "index.html", "tsconfig.json",
                 "vite.config.ts"):  # fmt: skip
        (folder / "web").mkdir(parents=True, exist_ok=True)
        shutil.copy(WEB / name, folder / "web" / name)
    shutil.copytree(WEB / "src", folder / "web" / "src")
    return folder


def test_a_package_without_the_client_is_refused(build_client: ModuleType, tmp_path: Path) -> None:
    root = _copy_of_sources(tmp_path)
    with pytest.raises(RuntimeError, match=r"not built .* Run: make client"):
        build_client.check_client(root)
    client = root / build_client.CLIENT
    client.mkdir(parents=True)
    (client / "index.html").write_text("<!doctype html>")
    (client / build_client.STAMP).write_text(build_client.source_digest(root))
    build_client.check_client(root)
    (root / "web" / "src" / "main.tsx").write_text("changed")
    assert not build_client.is_current(root)
    with pytest.raises(RuntimeError, match=r"other sources .* Run: make client"):
        build_client.check_client(root)


def test_an_install_goes_on_without_the_client_and_publishing_does_not(
    build_client: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hook = build_client.ClientHook(str(tmp_path), {}, None, None, str(tmp_path), "wheel")
    hook.initialize("editable", {})
    assert capsys.readouterr().err == ""
    hook.initialize("standard", {})
    assert "Without the browser client of review" in capsys.readouterr().err
    monkeypatch.setenv("VEILSET_REQUIRE_CLIENT", "1")
    with pytest.raises(RuntimeError, match="not built"):
        hook.initialize("standard", {})


def test_an_old_client_is_never_packed(
    build_client: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = _copy_of_sources(tmp_path)
    client = root / build_client.CLIENT
    client.mkdir(parents=True)
    (client / "index.html").write_text("<!doctype html>")

    def fail(_folder: Path) -> str:
        raise RuntimeError("no Node.js")

    monkeypatch.setattr(build_client, "_places", fail)
    hook = build_client.ClientHook(str(root), {}, None, None, str(root), "wheel")
    with pytest.raises(RuntimeError, match=r"no Node\.js"):
        hook.initialize("standard", {})


@pytest.mark.slow
def test_the_wheel_carries_the_client(build_client: ModuleType, tmp_path: Path) -> None:
    if not build_client.is_current(REPOSITORY):
        pytest.skip("the client is not built (make client)")
    scripts = Path(sysconfig.get_path("scripts"))
    done = subprocess.run(
        [str(scripts / "hatchling"), "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    inside = {name.removeprefix("veilset/review/client/") for name in names if "/client/" in name}
    folder = REPOSITORY / build_client.CLIENT
    built = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert inside == built
    assert not [name for name in names if "node_modules" in name]
    packages = json.loads((WEB / "package.json").read_text("utf-8"))["dependencies"]
    assert packages
    licences = zipfile.ZipFile(wheel).read("veilset/review/client/licences.txt").decode()
    for name, version in packages.items():
        assert f"## {name} - {version}" in licences
    assert licences.count("Permission is hereby granted") == len(packages)
