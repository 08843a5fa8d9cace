# SPDX-License-Identifier: Apache-2.0
"""Audit: who and what is in a data set."""
