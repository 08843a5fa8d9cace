# SPDX-License-Identifier: Apache-2.0
"""Veilset makes large image data sets private, and proves it."""
