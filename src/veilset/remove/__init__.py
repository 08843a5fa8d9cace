# SPDX-License-Identifier: Apache-2.0
"""Remove: withdraw images from a finished release, and from its records."""
