"""Links that a plan leaves out: each change lets what was left out be asked, or costs too much."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

_LINKS = "tests/privacy/test_families_links.py::"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="links: the row before is about none",
        path="common/families/views.py",
        old="for row in (PREVIOUS, SECOND, FIRST, SAME) for a in own]",
        new="for row in (SECOND, FIRST, SAME) for a in own]",
        killed_by=(
            f"{_LINKS}test_each_table_above_is_a_link_of_its_own",
            f"{_LINKS}test_all_that_stands_above_or_before_is_about_a_link_but_numbers_of_rows",
        ),
    ),
    Mutant(
        name="links: they are looked for anew for each marginal, before a plan is approved",
        path="common/messages/tables.py",
        old="asked = {links[question.view].get(attribute) for attribute in question.clique}",
        new="links = {question.view: view_links(schema, question.view)}\n"
        "        asked = {links[question.view].get(attribute) for attribute in question.clique}",
        killed_by=(f"{_LINKS}test_looking_for_links_does_not_grow_with_what_is_asked",),
    ),
    Mutant(
        name="links: a table may be called as a row before is",
        path="common/families/views.py",
        old="name for name in schema.downward if name in beside",
        new="name for name in schema.downward if name == SECOND",
        killed_by=(
            f"{_LINKS}test_a_table_that_is_called_as_a_row_before_is_refused_before_a_plan_is_made",
        ),
    ),
)
