# SPDX-License-Identifier: Apache-2.0
"""Transfer: networks trained on each setting, fine-tuned on other data sets."""
