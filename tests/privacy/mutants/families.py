"""What a person with all rows below it is protected by: each change lets more out than is paid."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

_FAMILIES = "tests/privacy/test_families.py"
_WEIGHED = f"{_FAMILIES}::test_a_family_moves_all_weighed_answers_by_at_most_f_times_t"
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
        killed_by=(_WEIGHED,),
    ),
    Mutant(
        name="families: a norm is that of the longest marginal alone",
        path="client/families/count.py",
        old="np.add.at(squares,",
        new="np.maximum.at(squares,",
        killed_by=(_WEIGHED,),
    ),
    Mutant(
        name="families: a norm forgets how often its marginals are scaled",
        path="client/families/count.py",
        old="each * each * question.scale**2",
        new="each * each",
        killed_by=(_WEIGHED,),
    ),
    Mutant(
        name="families: long squares wrap around",
        path="client/families/count.py",
        old="small = fits_in_int64(rows, [q.scale for q in questions])",
        new="small = True",
        killed_by=(f"{_FAMILIES}::test_squares_do_not_wrap_however_many_rows_a_person_has",),
    ),
    Mutant(
        name="families: every row of a parent is a first one",
        path="client/families/views.py",
        old="first[1:] = table.above[1:] != table.above[:-1]",
        new="first[1:] = True",
        killed_by=(_PLAIN,),
    ),
    Mutant(
        name="families: the first row of a visit is taken for one a person",
        path="common/families/views.py",
        old="if t.parent == schema.person)",
        new="if t.parent is not None)",
        killed_by=(f"{_FAMILIES}::test_a_plain_question_of_several_rows_a_person_is_refused",),
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
        path="client/families/join.py",
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
        killed_by=(f"{_FAMILIES}::test_rows_of_one_day_are_ordered_by_a_secret",),
    ),
    Mutant(
        name="families: a row below a key of two persons counts for both",
        path="client/families/join.py",
        old='IS NOT NULL GROUP BY "{KEY}"\'',
        new='IS NOT NULL GROUP BY "{KEY}", "{PERSON}"\'',
        killed_by=(f"{_FAMILIES}::test_a_row_below_a_key_of_two_persons_counts_for_one_of_them",),
    ),
)
