# SPDX-License-Identifier: Apache-2.0
"""What pages are made of: markup, tables, figures, a style; no script and no request."""
