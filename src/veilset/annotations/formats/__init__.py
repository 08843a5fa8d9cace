# SPDX-License-Identifier: Apache-2.0
"""Annotations as other tools write them, one file for each format."""
