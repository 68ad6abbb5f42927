"""What bounds a person's votes: each change lets it move more than is paid for, or otherwise."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

_PATH = "common/generator/voting/votes.py"
_TESTS = "tests/common/generator/test_votes.py"
_PRIVACY = "tests/privacy/test_votes.py"
_PICTURES = "tests/common/generator/test_votes_pictures.py"
_ONCE = f"{_PICTURES}::test_a_row_votes_once_for_what_an_oracle_of_whole_numbers_finds"
_FOLDERS = "tests/simulations/test_votes_folders.py"
_REFUSED = f"{_PRIVACY}::test_a_gateway_refuses_what_is_no_round_of_votes_and_charges_nothing"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="votes: a person votes above the cap",
        path="client/gateway/asked.py",
        old="    people = asked.rows.people(**asked.terms)\n",
        new="    people = asked.rows.people(rows_per_person=2**20, plan=asked.plan_digest)\n",
        killed_by=(
            f"{_PRIVACY}::test_a_person_moves_votes_by_its_rows_whatever_candidates_were_sent",
        ),
    ),
    Mutant(
        name="votes: which of a person's texts vote hangs on the order of the table",
        path="client/source/people.py",
        old="[*coded.columns, *_codes_of_texts(coded.texts)]",
        new="coded.columns",
        killed_by=(
            "tests/privacy/test_bounding.py::"
            "test_the_order_of_the_table_does_not_choose_among_texts",
        ),
    ),
    Mutant(
        name="votes: a row votes twice",
        path=_PATH,
        old="    cell = nearest[voting] * classes + label[voting]\n",
        new="    cell = np.repeat(nearest[voting] * classes + label[voting], 2)\n",
        killed_by=(f"{_TESTS}::test_a_row_moves_one_number_by_one_at_most",),
    ),
    Mutant(
        name="votes: what a row votes for depends on its company",
        path="common/generator/voting/ngrams.py",
        old="        best = shared.argmax(axis=1)\n",
        new="        best = (shared - shared.mean(axis=0)).argmax(axis=1)\n",
        killed_by=(f"{_TESTS}::test_what_a_text_votes_for_depends_on_it_alone",),
    ),
    Mutant(
        name="votes: candidates are not looked at",
        path=_PATH,
        old="    check_candidates(candidates or (), settings=settings)\n",
        new="",
        killed_by=(_REFUSED,),
    ),
    Mutant(
        name="votes: by whatever embedding a plan names",
        path="client/policy/limits.py",
        old="    if votes is not None and votes.embedding not in policy.embeddings:\n",
        new="    if votes is not None and not policy.embeddings:\n",
        killed_by=(f"{_PRIVACY}::test_a_gateway_refuses_a_plan_of_other_votes_in_one_line",),
    ),
    Mutant(
        name="votes: a plan may ask for more histograms than it pays for",
        path="common/plan/methods.py",
        old="if phase.name is not PhaseName.ONE_WAY and phase.marginals != 1:",
        new="if phase.name is not PhaseName.ONE_WAY and phase.marginals < 1:",
        killed_by=(
            f"{_PRIVACY}::test_a_plan_that_states_another_norm_or_more_histograms_is_refused",
        ),
    ),
    Mutant(
        name="votes: a picture votes twice",
        path="common/generator/voting/pictures.py",
        old="        total += np.bincount(",
        new="        total += 2 * np.bincount(",
        killed_by=(_ONCE,),
    ),
    Mutant(
        name="votes: what a picture votes for depends on its company",
        path="common/generator/voting/nearest.py",
        old="    best = shared.argmax(axis=1)\n",
        new="    best = (shared - shared.mean(axis=0)).argmax(axis=1)\n",
        killed_by=(_ONCE,),
    ),
    Mutant(
        name="votes: by whatever bytes lie in a folder",
        path="common/generator/voting/words.py",
        old="    require_digest(folder, digest)\n",
        new="",
        killed_by=(
            f"{_FOLDERS}::test_other_bytes_than_plan_and_policy_name_are_refused_in_public_words",
        ),
    ),
    Mutant(
        name="votes: an error tells that a row holds a word that a folder lacks",
        path="common/generator/voting/words.py",
        old="encode_any(self._encode, text)",
        new="self._encode(text)",
        killed_by=(
            f"{_FOLDERS}::"
            "test_a_text_that_a_tokenizer_fails_on_votes_for_none_so_that_no_error_tells_of_a_row",
        ),
    ),
    Mutant(
        name="votes: a gateway dies of memory at a word that a folder's author chose",
        path="common/generator/checkpoint_files.py",
        old="    if growth > _MOST_GROWTH:\n",
        new="    if growth < 1:\n",
        killed_by=(
            f"{_FOLDERS}::"
            "test_a_tokenizer_that_takes_all_memory_at_a_word_is_refused_before_rows_are_read",
        ),
    ),
)
