"""The command that looks at a pretrained checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.cli.console import Json, emit, say
from silosynth.common.generator import digest_checkpoint
from silosynth.common.generator.checkpoint_files import checkpoint_files


def checkpoint(
    folder: Annotated[Path, typer.Argument(help="The folder of a pretrained checkpoint.")],
    as_json: Json = False,
) -> None:
    """Check the files of a pretrained checkpoint and show the digest that plans and policies name.

    The files are read and not opened as a model: that needs no extra.

    [dim]silosynth checkpoint models/gpt2[/dim]
    """
    files = checkpoint_files(folder)
    digest = digest_checkpoint(folder)
    say(f"{folder}: {digest}")
    say(f"of {', '.join(files)}; other files are not read")
    emit({"path": str(folder), "digest": digest, "files": list(files)}, as_json=as_json)
