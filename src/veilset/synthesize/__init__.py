# SPDX-License-Identifier: Apache-2.0
"""Faces that nobody has, made from the landmarks, the surroundings and chosen attributes."""
