# SPDX-License-Identifier: Apache-2.0
"""The door of review for browsers: routes, sign-in, pictures, security headers."""
