# SPDX-License-Identifier: Apache-2.0
"""How the tables came to be, version by version. ``upgrade`` runs it through Alembic.

A change of ``tables.py`` needs a new module in ``versions``. Alembic's autogenerate can
write its first draft, but sees neither triggers nor CHECK constraints.
"""
