"""Pages: who is let in, whose forms count, and by what somebody decides."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

GUARD, FORMS, SITE, SILO = (
    "common/page/guard.py",
    "common/page/forms.py",
    "common/page/site.py",
    "client/page/site.py",
)
GUARDED, SHOWN = "tests/common/page/test_guard.py::", "tests/client/page/test_silo_page.py::"

MUTANTS = (
    Mutant(
        name="a page takes forms of other origins",
        path=GUARD,
        old='if _only(headers, b"origin") not in self._origins:',
        new="if False:",
        killed_by=(GUARDED + "test_a_form_of_another_origin_changes_nothing",),
    ),
    Mutant(
        name="a page answers to any name",
        path=GUARD,
        old='if _only(headers, b"host") not in self._hosts:',
        new="if False:",
        killed_by=(GUARDED + "test_a_page_is_found_by_its_own_name_alone",),
    ),
    Mutant(
        name="a page shows itself to who was not let in",
        path=GUARD,
        old='if session is None and not _OPEN.fullmatch(scope["path"]):',
        new="if False:",
        killed_by=(GUARDED + "test_who_was_not_let_in_sees_the_way_in_alone",),
    ),
    Mutant(
        name="a page takes forms with any mark",
        path=FORMS,
        old='if not hmac.compare_digest(fields.get("csrf", "").encode(), session.csrf.encode()):',
        new="if False:",
        killed_by=(GUARDED + "test_a_form_needs_the_mark_of_its_own_session",),
    ),
    Mutant(
        name="a page keeps the session of who enters anew",
        path=SITE,
        old="        _end(request)\n        made, _ = sessions.begin()",
        new="        made, _ = sessions.begin()",
        killed_by=(GUARDED + "test_an_id_that_a_browser_brings_is_never_the_one_it_is_let_in_by",),
    ),
    Mutant(
        name="a page decides without the code",
        path=SILO,
        old='if not is_secret(fields.get("code", "").strip(), kept=pages.settings.code):',
        new="if False:",
        killed_by=(SHOWN + "test_nothing_is_decided_by_a_wrong_code_or_without_a_reason",),
    ),
)
