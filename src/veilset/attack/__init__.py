# SPDX-License-Identifier: Apache-2.0
"""Attack: what an obfuscation really protects, measured by those who try to undo it."""
