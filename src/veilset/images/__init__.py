# SPDX-License-Identifier: Apache-2.0
"""Image files: open them (``decode``), write part of them anew (``encode``), compare two
(``compare``), and take out what is not the picture (``metadata``).

Other modules are parts of these; read the four first.
"""
