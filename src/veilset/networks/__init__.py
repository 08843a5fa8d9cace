# SPDX-License-Identifier: Apache-2.0
"""Networks: weight files, and the runtimes that run them."""
