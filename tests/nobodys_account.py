# SPDX-License-Identifier: Apache-2.0
"""An account at Amazon that nobody has, for tests of what would ask with one."""

from __future__ import annotations

import pytest


def use_nobodys_account(patch: pytest.MonkeyPatch) -> None:
    """Set the credentials, and hide all settings of the machine that runs the tests."""
    patch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    patch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
