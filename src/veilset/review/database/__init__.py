# SPDX-License-Identifier: Apache-2.0
"""What review remembers: tables, and every change of them as one transaction."""
