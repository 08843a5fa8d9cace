# SPDX-License-Identifier: Apache-2.0
"""The floors, and what importing may do."""

from __future__ import annotations

import ast
import io
import json
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

SOURCES = sorted((REPOSITORY / "src" / "veilset").rglob("*.py"))
WRITTEN = [
    path
    for pattern in ("src/**/*.py", "tests/**/*.py", "benchmarks/*.py", "docs/*.py", "*.py")
    for path in sorted(REPOSITORY.glob(pattern))
]
SILENCE = re.compile(
    r"# (?:ruff: )?noqa(?:: *[A-Z]+\d+(?:, *[A-Z]+\d+)*)?"
    r"|# type: ignore(?:\[[^]]*\])?"
    r"|# pragma: no cover"
)
SILENT_WARNINGS = re.compile(r"""(?:filterwarnings|simplefilter)\(\s*["']ignore""")
HEAVY = (
    "torch",
    "lightning_fabric",
    "timm",
    "scipy",
    "yaml",
    "ray",
    "fastapi",
    "sqlalchemy",
    "duckdb",
    "resvg_py",
    "boto3",
    "cv2",
    "openvino",
    "onnxruntime",
    "pyarrow",
    "PIL",
    "jpeglib",
)


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, check=True, cwd=REPOSITORY, env=environment or None,
    )  # fmt: skip


def test_floors_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_import_loads_nothing_heavy_and_starts_nothing() -> None:
    code = (
        "import sys, threading, json, veilset; "
        f"print(json.dumps([[m for m in {HEAVY!r} if m in sys.modules], "
        "threading.active_count()]))"
    )
    assert json.loads(python(code).stdout) == [[], 1]


def test_import_opens_no_file_but_code(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "seen = []\n"
        "def hook(event, args):\n"
        "    if event.startswith(('socket.', 'subprocess.')): seen.append(event)\n"
        "    if event == 'open' and isinstance(args[1], str) and set(args[1]) & set('wax+'):\n"
        "        seen.append(str(args[0]))\n"
        "sys.addaudithook(hook)\n"
        "sys.dont_write_bytecode = True\n"
        "import veilset\n"
        "print(seen)"
    )
    assert python(code).stdout.strip() == "[]"


def body_lines(function: ast.FunctionDef) -> int:
    """Lines from the first statement after the docstring to the end."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_source_file_keeps_the_house_rules(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# SPDX-License-Identifier: Apache-2.0\n")
    assert len(text.splitlines()) <= 400, "split it by meaning"
    assert path.stem not in {"utils", "common", "helpers", "core", "manager"}
    tree = ast.parse(text)
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)], (
        "assert vanishes under -O: raise an error of veilset.errors"
    )
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    long = [f"{node.name}: {body_lines(node)} lines" for node in functions if body_lines(node) > 50]
    assert not long
    assert "anonymi" not in text.lower(), "obfuscate: we cannot promise anonymity"


def unexplained(path: Path) -> list[str]:
    """Give the silences of a file that have no reason on their line, nor a comment above."""
    text = path.read_text("utf-8")
    lines = text.split("\n")
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = {t.start[0]: t.string for t in tokens if t.type == tokenize.COMMENT}
    own_line = {number for number in comments if lines[number - 1].lstrip().startswith("#")}
    return [
        f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()}"
        for number, line in enumerate(lines, 1)
        if SILENCE.search(comment := comments.get(number, "")) or SILENT_WARNINGS.search(line)
        if not re.search(r"\w{2}", SILENCE.sub("", comment)) and number - 1 not in own_line - {1}
    ]


def test_what_is_silenced_says_why() -> None:
    assert not [each for path in WRITTEN for each in unexplained(path)]
