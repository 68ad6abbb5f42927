"""Options that several of a silo's commands have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

POLICY = Path("silo.toml")
PolicyPath = Annotated[Path, typer.Option("--policy", help="The silo's policy (TOML).")]
NewTable = Annotated[
    Path,
    typer.Option(
        help="The table's file or folder, not read now; of several tables the folder of their "
        "files; a database: see the policy."
    ),
]
DatasetName = Annotated[str, typer.Option(help="The table's name, as in plans.")]
MostEpsilon = Annotated[
    float, typer.Option(help="Most that table, coordinators and project may ever cost a person.")
]
MostDelta = Annotated[float, typer.Option(help="The delta of that epsilon.")]
PersonColumn = Annotated[
    str | None, typer.Option(help="The column that names the person of each row.")
]
RowsPerPerson = Annotated[int, typer.Option(help="Most rows of one person.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFlags:
    """What a new silo says of its table and of what it may cost a person."""

    table: NewTable
    dataset: DatasetName = "default"
    epsilon: MostEpsilon = 3.0
    delta: MostDelta = 1e-6
    person_column: PersonColumn = None
    rows_per_person: RowsPerPerson = 1
