# SPDX-License-Identifier: Apache-2.0
"""Files that neither the cleaner nor the search of its results may let pass."""

from __future__ import annotations

import pytest

from veilset.errors import DecodeError
from veilset.metadata.clean import clean_metadata, metadata_findings


def refusal(data: bytes) -> str:
    """Make sure that both refuse a file, and give the cleaner's reason."""
    with pytest.raises(DecodeError) as caught:
        clean_metadata(data)
    with pytest.raises(DecodeError):
        metadata_findings(data)
    return caught.value.reason
