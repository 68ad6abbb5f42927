"""A notice that plans wait, and the ways to send one: a command, a webhook, mail, a folder.

A notice holds what a plan says of itself and what the policy calls its coordinator: no figure of
the data, of the ledger or of a budget. None of its words is a program's argument or a header.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from silosynth.client.desk import Facts
from silosynth.client.policy import MailSection, NotifySection
from silosynth.common.errors import ConnectionFailed
from silosynth.common.files import replace_file

SEND_SECONDS = 10.0
"""What a notifier has; then it is left alone, and tried again later."""
_SUBJECT = re.compile(r"[^A-Za-z0-9 ._:@-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Which plans wait at a silo, each as public facts; ``again`` says that all were told of."""

    silo: str
    plans: tuple[Mapping[str, str | float], ...]
    again: bool

    def data(self) -> bytes:
        """Return the notice as JSON."""
        return json.dumps(
            {
                "version": 1,
                "event": "plans-waiting",
                "silo": self.silo,
                "again": self.again,
                "plans": list(self.plans),
            }
        ).encode()

    def subject(self) -> str:
        """Return a line of plain ASCII."""
        count = len(self.plans)
        line = f"silosynth: {count} plan{'s' * (count > 1)} wait at silo {self.silo}"
        return _SUBJECT.sub("?", line)

    def text(self) -> str:
        """Return what a person reads."""
        lines = [
            f"- {p['plan']} of coordinator {p['coordinator']}, epsilon {p['epsilon']}, since "
            f"{p['since']}; {p['digest']}"
            for p in self.plans
        ]
        return "\n".join(
            (
                f"These plans wait at silo {self.silo} for a person:",
                "",
                *lines,
                "",
                "See them with 'silosynth silo pending', then approve or refuse them.",
                "",
            )
        )


Send = Callable[[Notice], None]


def notice_of(silo: str, plans: Sequence[Facts], *, again: bool) -> Notice:
    """Return the notice about plans that wait, from the facts that the operator's desk gives."""
    return Notice(
        silo=silo,
        again=again,
        plans=tuple(
            {
                "plan": p.get("id", "-"),
                "digest": p["digest"],
                "coordinator": p.get("coordinator", "-"),
                "epsilon": p.get("epsilon", "-"),
                "since": p["at"],
            }
            for p in plans
        ),
    )


def senders(section: NotifySection) -> dict[str, Send]:
    """Return the ways of a policy, by kind."""
    ways: dict[str, Send] = {}
    if section.command:
        ways["command"] = lambda notice: _run(section.command, notice)
    if section.webhook is not None:
        url = section.webhook
        ways["webhook"] = lambda notice: _post(url, notice)
    if section.mail is not None:
        mail = section.mail
        ways["mail"] = lambda notice: _mail(mail, notice)
    if section.directory is not None:
        folder = Path(section.directory)
        ways["directory"] = lambda notice: _leave(folder, notice)
    return ways


def _run(command: Sequence[str], notice: Notice) -> None:
    """Run a program with the notice on its input; raise ConnectionFailed unless it ends well.

    It gets no variable of the gateway's but the path, and dies with all that it started.
    """
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    except OSError as err:
        raise ConnectionFailed(f"the notifier cannot be started: {err.strerror}") from err
    try:
        process.communicate(notice.data(), timeout=SEND_SECONDS)
    except subprocess.TimeoutExpired as err:
        raise ConnectionFailed("the notifier did not end in time") from err
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode:
        raise ConnectionFailed(f"the notifier ended with code {process.returncode}")


def _post(url: str, notice: Notice) -> None:
    """Post the notice; raise ConnectionFailed unless the answer is 2xx. Redirections are none."""
    # Only here: an idle gateway that nobody notifies holds neither TLS nor HTTP.
    from http.client import HTTPConnection, HTTPException, HTTPSConnection
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=SEND_SECONDS)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(
            "POST", target, body=notice.data(), headers={"Content-Type": "application/json"}
        )
        status = connection.getresponse().status
    except (OSError, HTTPException) as err:
        raise ConnectionFailed("the webhook cannot be reached") from err
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise ConnectionFailed(f"the webhook answered {status}")


def _mail(mail: MailSection, notice: Notice) -> None:
    """Send the notice by mail; raise ConnectionFailed when the server does not take it."""
    import smtplib
    import ssl
    from email.message import EmailMessage

    message = EmailMessage()
    message["From"], message["To"] = mail.sender, ", ".join(mail.to)
    message["Subject"] = notice.subject()
    message.set_content(notice.text())
    secure = ssl.create_default_context()
    try:
        server: Any = (
            smtplib.SMTP_SSL(mail.host, mail.port, timeout=SEND_SECONDS, context=secure)
            if mail.security == "tls"
            else smtplib.SMTP(mail.host, mail.port, timeout=SEND_SECONDS)
        )
        with server:
            if mail.security == "starttls":
                server.starttls(context=secure)
            if mail.user is not None and mail.password_file is not None:
                server.login(mail.user, Path(mail.password_file).read_text().strip())
            server.send_message(message)
    except (OSError, smtplib.SMTPException) as err:
        raise ConnectionFailed("the mail server did not take the notice") from err


def _leave(folder: Path, notice: Notice) -> None:
    """Leave the notice as a file, for a program of another user; raise ConnectionFailed if not.

    What a gateway that was killed left of one is taken away: nobody else would.
    """
    try:
        for part in folder.glob(".notice-*.part"):
            part.unlink(missing_ok=True)
        replace_file(folder / f"notice-{secrets.token_hex(8)}.json", notice.data(), mode=0o640)
    except OSError as err:
        raise ConnectionFailed(f"the notice cannot be left: {err.strerror}") from err
