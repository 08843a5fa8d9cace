# SPDX-License-Identifier: Apache-2.0
"""Readers of the data sets to transfer to, one file for each official layout.

None downloads anything. Each checks the layout before any training: what is missing,
damaged or of another number than published is a ``DatasetError`` that names the file.
"""
