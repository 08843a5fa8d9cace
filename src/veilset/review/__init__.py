# SPDX-License-Identifier: Apache-2.0
"""Review: people correct the boxes. Start at ``stage.py``."""
