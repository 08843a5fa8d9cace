# SPDX-License-Identifier: Apache-2.0
"""The rules of review: pure functions of boxes and counts, without a database."""
