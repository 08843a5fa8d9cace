# SPDX-License-Identifier: Apache-2.0
"""The human assessor: people look at an obfuscated face and say who of nine it is."""
