# SPDX-License-Identifier: Apache-2.0
"""Bins of categories and means over them, at their edges."""

from __future__ import annotations

import numpy as np
import pytest

from veilset.study.drops import binned, means_by_class


def test_a_bin_includes_its_lower_end_and_only_the_last_its_upper():
    edges = (0.0, 0.01, 0.5, 1.0)
    found = binned([0.0, 0.01, 0.01, 0.5, 1.0], [1, 2, 4, 5, 7], edges)
    assert [each.n for each in found] == [1, 2, 2]
    assert [each.mean for each in found] == [1, 3, 6]
    assert found[0].interval is None
    assert found[1].interval is not None


def test_categories_of_which_something_is_not_known_are_left_out():
    found = binned([0.1, np.nan, 0.2], [np.nan, 1.0, 3.0], (0.0, 1.0))
    assert [(each.n, each.mean) for each in found] == [(1, 3.0)]
    assert binned([], [], (0.0, 1.0))[0].mean is None


def test_means_leave_out_images_that_were_not_searched():
    found = means_by_class([0.2, np.nan, 0.4, np.nan], [0, 0, 0, 2], 3)
    assert found[0] == pytest.approx(0.3)
    assert np.isnan(found[1:]).all()
