"""``silosynth sample`` and ``inspect`` of a sampler of several tables."""

from __future__ import annotations

from pathlib import Path

from silosynth.common.certificate import Certificate, check_certificate, plain_words
from silosynth.common.cli.console import say, show_table
from silosynth.common.cli.flags import TableFormat
from silosynth.common.errors import InvalidArgument
from silosynth.common.files import check_output
from silosynth.common.forest import draw_forest, load_forest, table_files
from silosynth.common.tables import TablesSchema

MARK = "synthetic; drawn from the sampler of plan {}"


def sample_tables(
    path: Path,
    *,
    persons: int,
    seed: int,
    folder: Path,
    format: TableFormat | None,
    force: bool,
) -> dict[str, object]:
    """Draw families into a folder, a file a table, and return what was written.

    Raises OutputExists before anything is drawn where one of the files is in the way.
    """
    if folder.suffix.lower() in (".csv", ".parquet", ".tsv") or folder.is_file():
        raise InvalidArgument(
            f"{folder} is no folder, and this sampler draws several tables",
            hint="name a folder; --format says what its files are",
        )
    sampler = load_forest(path)
    ending = None if format is None else f".{format}"
    files = table_files(sampler.schema, folder=folder, ending=ending)
    for file in files.values() if folder.is_dir() else ():
        check_output(file, force=force)
    mark = {"silosynth": MARK.format(sampler.plan_digest)}
    written = draw_forest(
        sampler,
        persons=persons,
        seed=seed,
        folder=folder,
        ending=ending,
        force=force,
        mark=mark,
        tell=say,
    )
    for name, rows in written.items():
        say(f"wrote {files[name]}: {rows:,} rows{_hangs(sampler.schema, name)}")
    paths = {name: str(file) for name, file in files.items()}
    return {"path": str(folder), "files": paths, "rows": written, "seed": seed}


def _hangs(schema: TablesSchema, name: str) -> str:
    table = schema.tables[name]
    return "" if table.parent is None else f", each of a row of {table.parent} by {table.by}"


def refuse_of_tables(**given: object) -> None:
    """Raise InvalidArgument for an option that several tables do not take."""
    for option, value in given.items():
        if value:
            raise InvalidArgument(
                f"--{option.replace('_', '-')} is for one table, and there are several",
                hint="leave it out",
            )


def inspect_tables(path: Path) -> dict[str, object]:
    """Show what a sampler of several tables holds and what it cost, and return its facts."""
    sampler = load_forest(path)
    certificate = Certificate.model_validate(sampler.certificate)
    check_certificate(certificate)
    facts = sampler.describe()
    schema = sampler.schema
    say(f"{path}: schema {schema.name}, about {sampler.persons:,} persons were measured")
    say(f"plan {certificate.plan_id} ({sampler.plan_digest[:19]}...), {facts['cells']} numbers")
    rows = [
        (name, schema.tables[name].parent or "", str(len(schema.columns[name].rows.attributes)))
        for name in schema.downward
    ]
    show_table("tables", ("table", "rows belong to", "attributes"), rows)
    for link in sampler.left_out:
        say(f"- {link}: left out of the model; rows are drawn without it")
    for sentence in plain_words(certificate):
        say(f"- {sentence}")
    return facts
