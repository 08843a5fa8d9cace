# SPDX-License-Identifier: Apache-2.0
"""What a file carries besides its picture: what of it stays, and what is looked for."""
