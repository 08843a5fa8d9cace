# SPDX-License-Identifier: Apache-2.0
"""``veilset attack ask`` and ``count``: questions for human assessors, and what they knew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from veilset.cli import options as opt
from veilset.cli.talk import give, say

if TYPE_CHECKING:
    from veilset.attack.people.asking import Material

OpenMaterial = Callable[[Path], "Material"]
"""Takes the records of an attack and gives what questions are made of."""

KeyFile = Annotated[Path, typer.Argument(help="The key.json that 'ask' wrote.", metavar="KEY")]
GroupsFile = Annotated[
    Path | None,
    typer.Option(
        help="CSV image_id,group, such as the gender; groups meet in no question.", metavar="FILE"
    ),
]
AskSeed = Annotated[
    int,
    typer.Option(
        help="Decides who is shown together; who of them is right is drawn in secret.", min=0
    ),
]
AnswerFiles = Annotated[
    list[Path], typer.Argument(help="Files that the pages saved.", metavar="ANSWERS...")
]


def people_app(open_material: OpenMaterial) -> typer.Typer:
    """Give the commands ``ask`` and ``count``.

    Args:
        open_material: Opens the records of an attack; called by ``ask`` only.
    """
    app = typer.Typer(
        help="Ask people who an obfuscated face is, and count what they knew.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )

    @app.command()
    def ask(
        attack: Annotated[Path, typer.Argument(help="Records of an attack.")],
        out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the key and the pages.")],
        setting: Annotated[
            list[str] | None,
            typer.Option(help="Setting to ask about; may be repeated; all if not given."),
        ] = None,
        per_setting: Annotated[
            int, typer.Option(help="Questions of each setting in a page.", min=1)
        ] = 10,
        packs: Annotated[
            int, typer.Option(help="Different pages; give each person one of their own.", min=1)
        ] = 1,
        candidates: Annotated[
            int, typer.Option(help="Clear faces of a question.", min=2, max=9)
        ] = 9,
        contact: Annotated[
            str, typer.Option(help="Who asks and where to reach them; shown on the page.")
        ] = "",
        groups: GroupsFile = None,
        seed: AskSeed = 0,
    ) -> None:
        """Write pages for assessors, and the key to them."""
        from veilset.attack.people.asking import write_questions
        from veilset.attack.people.groups import with_groups
        from veilset.attack.people.questions import Plan, chosen_settings

        material = open_material(attack)
        if groups is not None:
            material = with_groups(material, groups)
        plan = Plan(
            chosen_settings(material.settings, setting or ()), per_setting, packs, candidates, seed
        )
        asked = write_questions(material, plan, out, contact=contact)
        for page in asked.pages:
            give(str(page))
        say(
            f"{len(asked.pages):,} pages of {asked.n_questions:,} questions. Give each person a "
            f"page, and keep {asked.key} to yourself."
        )

    app.command()(count)
    return app


def count(
    key: KeyFile,
    answers: AnswerFiles,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for people.json, people.csv and people.md."),
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """Count what people knew: shares with intervals, and tests against chance."""
    from veilset.attack.people import told
    from veilset.attack.people.answers import read_answers
    from veilset.attack.people.contents import COUNTED_CSV, COUNTED_JSON, COUNTED_MD
    from veilset.attack.people.counting import count_answers
    from veilset.attack.people.key import read_key
    from veilset.files import finite, write_atomically, writing

    right = read_key(key)
    found = count_answers(right, read_answers(answers, right))
    values = told.as_json(found)
    if out is not None:
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
        texts = {
            COUNTED_JSON: json.dumps(finite(values), ensure_ascii=False, indent=1) + "\n",
            COUNTED_CSV: told.as_csv(found),
            COUNTED_MD: told.as_markdown(found),
        }
        for name, text in texts.items():
            write_atomically(out / name, text.encode())
    give(values if as_json else told.as_markdown(found).rstrip("\n"))
