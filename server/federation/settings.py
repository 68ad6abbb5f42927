"""Where a coordinator keeps its things: the federations that it knows, and its runs."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from cryptography.x509 import load_pem_x509_certificates
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from silosynth.common.document import describe_validation
from silosynth.common.errors import InvalidArgument
from silosynth.common.files import write_text
from silosynth.common.plan import Name
from silosynth.common.trust import SigningKey
from silosynth.server.federation.certs import is_development

HOME = "SILOSYNTH_HOME"
_SECRET_HINT = "give the file that the SuperLink was started with"


class Federation(BaseModel):
    """One SuperLink, and what lets a coordinator use it.

    ``production`` refuses a development CA, and makes ``silosynth certs`` refuse to work here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    superlink: str = Field(pattern=r"^[A-Za-z0-9._\[\]:-]+:[0-9]{1,5}$", description="HOST:PORT")
    ca: Path
    identity: Path = Field(description="the coordinator's Ed25519 key")
    superexec_secret: Path = Field(description="the SuperLink's, to take runs")
    production: bool = False


class _Home(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    federations: Mapping[Name, Federation] = Field(default_factory=dict)


def home(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the coordinator's directory: ``$SILOSYNTH_HOME``, or ``~/.silosynth``."""
    return Path(environment.get(HOME) or Path.home() / ".silosynth").expanduser()


def config_path(directory: Path) -> Path:
    """Return the path of the file that names the federations."""
    return directory / "federations.toml"


def load_federations(directory: Path) -> Mapping[str, Federation]:
    """Read ``federations.toml``; none when there is no such file.

    Raises InvalidArgument naming the file and the field.
    """
    path = config_path(directory)
    if not path.exists():
        return {}
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise InvalidArgument(f"{path} is not valid TOML", hint=str(err)) from err
    try:
        return _Home.model_validate({"federations": data}).federations
    except ValidationError as err:
        fault = describe_validation(err, {"federations": data}).removeprefix("federations: ")
        raise InvalidArgument(f"{path}: {fault}") from err


def find_federation(directory: Path, name: str) -> Federation:
    """Return the federation called ``name``.

    Raises InvalidArgument when there is none, or when it is for production and its CA is not.
    """
    federations = load_federations(directory)
    if name not in federations:
        known = ", ".join(sorted(federations)) or "none"
        raise InvalidArgument(
            f"no federation {name!r} in {config_path(directory)}; it knows {known}",
            hint="silosynth certs makes one for development",
        )
    federation = federations[name]
    if federation.production and is_development(federation.ca):
        raise InvalidArgument(
            f"federation {name!r} is for production, but {federation.ca} is a development CA",
            hint="give the certificate of your own CA",
        )
    return federation


def check_files(federation: Federation) -> None:
    """Raise InvalidArgument unless the files that a federation names are what they should be."""
    SigningKey.load(federation.identity)
    try:
        if not federation.superexec_secret.read_bytes().strip():
            raise InvalidArgument(f"{federation.superexec_secret} is empty", hint=_SECRET_HINT)
        load_pem_x509_certificates(federation.ca.read_bytes())
    except OSError as err:
        raise InvalidArgument(
            f"cannot read {err.filename}: {err.strerror}", hint="federations.toml names it"
        ) from None
    except ValueError:
        raise InvalidArgument(
            f"{federation.ca} is no certificate", hint="give the CA's, in PEM"
        ) from None


def check_development(directory: Path) -> None:
    """Raise InvalidArgument when a production CA is configured here.

    That is a federation marked ``production = true``, or one whose CA ``silosynth certs`` did not
    make.
    """
    for name, federation in load_federations(directory).items():
        if federation.production or not is_development(federation.ca):
            raise InvalidArgument(
                f"federation {name!r} in {config_path(directory)} has a production CA",
                hint="make development keys on another machine, or with another SILOSYNTH_HOME",
            )


def add_federation(directory: Path, name: str, federation: Federation) -> None:
    """Write a federation into ``federations.toml``; raise InvalidArgument when it has the name."""
    if name in load_federations(directory):
        raise InvalidArgument(
            f"federation {name!r} is in {config_path(directory)} already",
            hint="choose another name",
        )
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = config_path(directory)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = [f"[{name}]"]
    for key, value in federation.model_dump(mode="json").items():
        lines.append(f"{key} = {_toml(value)}")
    write_text(path, text + ("\n" if text else "") + "\n".join(lines) + "\n", force=True)


def _toml(value: str | bool) -> str:
    """Spell a value in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
