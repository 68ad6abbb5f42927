"""What a person with all rows below it is protected by: each change lets more out than is paid."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

_FAMILIES = "tests/privacy/test_families.py"
_GAPS = "tests/privacy/test_families_gaps.py"
_RELEASE = "tests/privacy/test_families_release.py"
_WEIGHED = f"{_FAMILIES}::test_a_family_moves_all_weighed_answers_by_at_most_f_times_t"
_AUDIT = (
    "tests/simulations/audit/test_families.py::test_of_families_no_more_is_learnt_than_was_charged"
)
_PLAIN = f"{_FAMILIES}::test_a_family_moves_each_plain_answer_by_one_in_one_cell"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="families: the weights of one marginal are left out",
        path="client/families/count.py",
        old="weights=weights[view.person]",
        new="weights=np.where(\n"
        "                    question is phase.weighed[0],\n"
        "                    phase.weighing.fineness,\n"
        "                    weights[view.person],\n"
        "                )",
        killed_by=(_WEIGHED, _AUDIT),
    ),
    Mutant(
        name="families: a norm is that of the longest marginal alone",
        path="client/families/count.py",
        old="squares = np.minimum(squares + each, BEYOND)",
        new="squares = np.maximum(squares, each)",
        killed_by=(_WEIGHED, _AUDIT),
    ),
    Mutant(
        name="families: a norm forgets how often its marginals are scaled",
        path="client/families/count.py",
        old="scaled = counts * question.scale",
        new="scaled = counts",
        killed_by=(_WEIGHED,),
    ),
    Mutant(
        name="families: long squares wrap around",
        path="client/families/count.py",
        old="each[rounded > _LONG] = BEYOND",
        new="each[rounded > np.inf] = BEYOND",
        killed_by=(f"{_FAMILIES}::test_long_squares_weigh_and_are_long_as_they_are",),
    ),
    Mutant(
        name="families: every row of a parent is a first one",
        path="client/families/count.py",
        old="first[1:] = above[1:] != above[:-1]",
        new="first[1:] = True",
        killed_by=(_PLAIN, _AUDIT),
    ),
    Mutant(
        name="families: the first row of a visit is taken for one a person",
        path="common/families/views.py",
        old="if t.parent == schema.person)",
        new="if t.parent is not None)",
        killed_by=(f"{_FAMILIES}::test_a_plain_question_of_several_rows_a_person_is_refused",),
    ),
    Mutant(
        name="families: a first row's gap is that from another family's last row",
        path="common/tables/gaps.py",
        old="np.where(first, self.none, found)",
        new="np.where(first, np.searchsorted(self.edges[1:-1], gaps, side='right'), found)",
        killed_by=(f"{_GAPS}::test_nobodys_gap_hangs_on_somebody_else",),
    ),
    Mutant(
        name="families: gaps are those of rows as a file has them",
        path="client/families/rows.py",
        old="self._gaps(name, value[order], codes=codes, above=at)",
        new="self._gaps(name, value, codes=codes, above=at)",
        killed_by=(f"{_GAPS}::test_gaps_are_those_between_days_in_order_whatever_the_file_says",),
    ),
    Mutant(
        name="families: gaps are left out of how long a person's counts are",
        path="client/families/count.py",
        old="    for question in questions:\n        view = views[question.view]\n"
        "        owner, counts",
        new="    for question in (q for q in questions if 'gap: ' not in ''.join(q.clique)):\n"
        "        view = views[question.view]\n        owner, counts",
        killed_by=(f"{_GAPS}::test_a_family_moves_all_answers_with_gaps_by_at_most_f_times_t",),
    ),
    Mutant(
        name="families: other edges of gaps are the schema that was approved",
        path="common/tables/tables.py",
        old='({"gaps"} if table.gaps is not None else set())',
        new="set()",
        killed_by=(
            f"{_GAPS}::test_other_edges_are_another_schema_and_none_leave_its_digest_as_it_was",
        ),
    ),
    Mutant(
        name="families: rows are held against rules while somebody waits for an answer",
        path="client/families/source.py",
        old="told = Told()",
        new="told = Told(broken={})",
        killed_by=(
            "tests/client/families/test_survey.py"
            "::test_a_gateway_that_counts_holds_no_row_against_rules",
        ),
    ),
    Mutant(
        name="families: two rows under one key are two persons",
        path="client/families/rows.py",
        old="kept = np.flatnonzero(ranks == 0)",
        new="kept = np.flatnonzero(ranks >= 0)",
        killed_by=(_PLAIN,),
    ),
    Mutant(
        name="families: rows that belong to nobody are counted",
        path="client/families/owners.py",
        old="f'SELECT raw{i}.*, keys{above}.\"{PERSON}\" FROM raw{i} '\n"
        "                f'JOIN keys{above} ON",
        new="f'SELECT raw{i}.* REPLACE (coalesce(keys{above}.\"{KEY}\", '\n"
        '                f\'(SELECT min("{KEY}") FROM keys{above})) AS "{BY}"), \'\n'
        "                f'coalesce(keys{above}.\"{PERSON}\", '\n"
        '                f\'(SELECT arg_min("{PERSON}", "{KEY}") \'\n'
        "                f'FROM keys{above})) AS \"{PERSON}\" FROM raw{i} '\n"
        "                f'LEFT JOIN keys{above} ON",
        killed_by=(
            f"{_FAMILIES}"
            "::test_rows_that_belong_to_nobody_are_not_counted_and_told_to_the_operator_alone",
        ),
    ),
    Mutant(
        name="families: the file says which of two rows of one day is first",
        path="client/families/rows.py",
        old="order = np.lexsort((ranks, value, at))",
        new="order = np.lexsort((value, at))",
        killed_by=(f"{_FAMILIES}::test_rows_of_one_day_are_ordered_by_a_secret", _AUDIT),
    ),
    Mutant(
        name="families: a row below a key of two persons counts for both",
        path="client/families/owners.py",
        old='IS NOT NULL GROUP BY "{KEY}"\'',
        new='IS NOT NULL GROUP BY "{KEY}", "{PERSON}"\'',
        killed_by=(f"{_FAMILIES}::test_a_row_below_a_key_of_two_persons_counts_for_one_of_them",),
    ),
    Mutant(
        name="families: rows that differ below them alone keep the order of their file",
        path="client/families/rows.py",
        old="(*codes, *_exact(value), *self._keys(name, table))",
        new="(*codes, *_exact(value))",
        killed_by=(
            f"{_FAMILIES}"
            "::test_rows_that_differ_in_what_is_below_them_alone_are_ordered_by_a_secret",
        ),
    ),
    Mutant(
        name="families: rows of one bin are ranked alike, whatever their numbers",
        path="client/families/rows.py",
        old="(*codes, *_exact(value), *self._keys(name, table))",
        new="(*codes, *self._keys(name, table))",
        killed_by=(
            f"{_FAMILIES}"
            "::test_rows_of_one_bin_stand_as_their_own_numbers_say_whoever_else_is_there",
        ),
    ),
    Mutant(
        name="families: of a key on two rows the number of rows below counts, and not the key",
        path="client/families/rows.py",
        old="digests = [self._digest(key) for key in keys.dictionary"
        ".cast(pa.large_binary()).to_pylist()]",
        new="digests = [bytes(_DIGEST) for _ in keys.dictionary]",
        killed_by=(
            f"{_FAMILIES}"
            "::test_a_key_on_two_rows_has_what_is_below_it_at_one_of_them_whoever_else_is_there",
        ),
    ),
    Mutant(
        name="families: a column's own collation says which persons are one",
        path="client/families/join.py",
        old="""f'({text}) COLLATE "C" AS "{alias}"'""",
        new="""f'({text}) AS "{alias}"'""",
        killed_by=(
            "tests/client/families/test_sources.py"
            "::test_a_database_sorts_persons_as_bytes_are_whatever_its_columns_say",
        ),
    ),
    Mutant(
        name="families: a number is another key where its type writes more digits",
        path="client/families/join.py",
        old="if pt.is_decimal(kind) and kind.scale > 0:",
        new="if pt.is_decimal(kind) and kind.scale > 99:",
        killed_by=(
            "tests/client/families/test_sources.py"
            "::test_a_number_is_one_key_however_many_digits_are_written[memory]",
        ),
    ),
    Mutant(
        name="families: the bytes of one row decide whether tables are counted",
        path="client/families/opened.py",
        old="        return pa.binary()\n",
        new="        return kind\n",
        killed_by=(
            "tests/client/families/test_sources.py"
            "::test_no_bytes_of_one_row_decide_whether_tables_are_counted",
        ),
    ),
    Mutant(
        name="families: cells of large marginals run together",
        path="client/families/count.py",
        old="if persons * size > _SAFE:",
        new="if False:",
        killed_by=(f"{_FAMILIES}::test_cells_of_large_marginals_are_told_apart_at_every_person",),
    ),
    Mutant(
        name="families: how long persons are is not charged",
        path="client/gateway/verify.py",
        old="        return len(cells) if phase.fineness is None else 1\n",
        new="        counted = phase.fineness is None and phase.name != 'lengths'\n"
        "        return len(cells) if counted else int(phase.fineness is not None)\n",
        killed_by=(f"{_RELEASE}::test_a_run_is_charged_what_its_plan_states_whatever_t_is",),
    ),
    Mutant(
        name="families: what a row has of a table further up is asked by its parent's link",
        path="common/families/views.py",
        old='links |= {f"{above}: {a}": above_link(name, above) for a in attributes}',
        new='links |= {f"{above}: {a}": above_link(name, path[1]) for a in attributes}',
        killed_by=(
            "tests/server/families/test_levels.py::test_a_link_to_each_table_above_has_a_name",
            "tests/privacy/test_families_links.py::test_each_table_above_is_a_link_of_its_own",
        ),
    ),
    Mutant(
        name="families: T has no bound",
        path="common/families/questions.py",
        old="MOST_LENGTH = 2**18",
        new="MOST_LENGTH = 2**80",
        killed_by=(f"{_RELEASE}::test_what_is_not_the_plans_is_refused_and_not_charged",),
    ),
    Mutant(
        name="families: noise does not grow with T",
        path="client/noise/draw.py",
        old="noise = plan.noise(phase, length=length).share",
        new="noise = plan.noise(phase).share",
        killed_by=(f"{_RELEASE}::test_noise_is_that_of_what_a_family_can_move[later]",),
    ),
    Mutant(
        name="families: a phase that weighs nobody down is taken for one of bound 1",
        path="common/plan/phases.py",
        old="fineness: int | None = Field(default=None, ge=2, le=MOST_FINENESS)",
        new="fineness: int | None = Field(default=None, ge=1, le=MOST_FINENESS)",
        killed_by=(f"{_RELEASE}::test_a_phase_that_weighs_states_f_as_its_bound",),
    ),
    Mutant(
        name="families: a plan says that a person may have several families",
        path="common/plan/plan.py",
        old="if self.privacy.rows_per_person != 1:",
        new="if False:",
        killed_by=(f"{_RELEASE}::test_a_person_is_all_rows_below_one",),
    ),
    Mutant(
        name="families: a plan of one table is answered from several",
        path="client/gateway/verify.py",
        old="    if several != plan.chosen.several_tables:\n",
        new="    if False:\n",
        killed_by=(f"{_RELEASE}::test_a_plan_of_one_table_is_refused_of_several",),
    ),
)
