# SPDX-License-Identifier: Apache-2.0
"""What became of each image: the tables that obfuscate and verify leave behind."""
