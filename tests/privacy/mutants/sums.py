"""Sums in secret: what a silo signs, for whom it masks, and what its masks depend on."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

MEMBER, MASK, STATEMENTS = (
    "client/sums/member.py",
    "client/sums/mask.py",
    "common/messages/sums.py",
)
ATTACKS, SETS, MASKS = (
    "tests/privacy/test_sum_attacks.py::",
    "tests/privacy/test_sum_sets.py::",
    "tests/client/sums/test_mask.py::",
)
TRUST, RING = "common/plan/trust.py", "tests/privacy/test_sum_ring.py::"

MUTANTS = (
    Mutant(
        name="masks that do not depend on the set of participants",
        path=MEMBER,
        old="parts = (agreed.digest, request.phase.value,",
        new='parts = ("", request.phase.value,',
        killed_by=(
            SETS + "test_a_colluder_cannot_make_masks_of_two_sets_cancel",
            SETS + "test_two_vectors_of_a_silo_differ_in_more_than_one_pairs_mask",
            SETS + "test_what_masks_depend_on_differs_by_set_question_and_width",
        ),
    ),
    Mutant(
        name="masks that depend on how many take part, and not on who",
        path=MEMBER,
        old="parts = (agreed.digest, request.phase.value,",
        new="parts = (str(len(agreed.members)), request.phase.value,",
        killed_by=(SETS + "test_what_masks_depend_on_differs_by_set_question_and_width",),
    ),
    Mutant(
        name="masks that do not depend on the question",
        path=MEMBER,
        old="request.asked_of_all, str(bits))",
        new="str(bits))",
        killed_by=(
            ATTACKS + "test_questions_that_differ_between_silos_add_up_to_noise",
            SETS + "test_what_masks_depend_on_differs_by_set_question_and_width",
        ),
    ),
    Mutant(
        name="masks that do not depend on the width",
        path=MEMBER,
        old="request.asked_of_all, str(bits))",
        new="request.asked_of_all)",
        killed_by=(SETS + "test_what_masks_depend_on_differs_by_set_question_and_width",),
    ),
    Mutant(
        name="pairs' keys without the transcript",
        path=MASK,
        old="hashlib.sha256(_CONTEXT + transcript).digest()",
        new="hashlib.sha256(_CONTEXT).digest()",
        killed_by=(
            SETS + "test_a_colluder_cannot_make_masks_of_two_sets_cancel",
            MASKS + "test_two_requests_never_share_a_mask",
        ),
    ),
    Mutant(
        name="pairs' keys without the names",
        path=MASK,
        old='info = _CONTEXT + len(first).to_bytes(2, "big") + first + second',
        new="info = _CONTEXT",
        killed_by=(MASKS + "test_pairs_have_keys_of_their_own_even_where_a_peer_copies_a_key",),
    ),
    Mutant(
        name="a stream that repeats in every block",
        path=MASK,
        old="        stream.update_into(memoryview(_ZEROS)[: part.nbytes], buffer)",
        new="        stream = Cipher(ChaCha20(key, _START), mode=None).encryptor()\n"
        "        stream.update_into(memoryview(_ZEROS)[: part.nbytes], buffer)",
        killed_by=(MASKS + "test_blocks_of_the_stream_do_not_repeat",),
    ),
    Mutant(
        name="the top bit of every mask is left out",
        path=MASK,
        old="change(part, mask[: len(part)], out=part)",
        new="change(part, mask[: len(part)] >> 1, out=part)",
        killed_by=(MASKS + "test_a_masked_vector_looks_uniform",),
    ),
    Mutant(
        name="a set that this silo did not sign",
        path=MEMBER,
        old="if record is None or record.set_digest != agreed.digest:",
        new="if record is None:",
        killed_by=(SETS + "test_a_silo_masks_for_the_set_that_it_signed_last_alone",),
    ),
    Mutant(
        name="a set that is never final",
        path=MEMBER,
        old='self._store.save(record.model_copy(update={"begun": True}))',
        new="pass",
        killed_by=(ATTACKS + "test_no_silo_is_dropped_from_a_session_to_difference_two_sums",),
    ),
    Mutant(
        name="a set that not all have signed",
        path=MEMBER,
        old="lambda: check_votes(unpack_all(proof.votes), plan=plan, agreed=agreed),",
        new="lambda: None,",
        killed_by=(
            ATTACKS + "test_a_set_that_not_all_members_signed_is_never_masked",
            ATTACKS + "test_different_sets_shown_to_different_silos_are_never_masked",
        ),
    ),
    Mutant(
        name="votes for another set",
        path=STATEMENTS,
        old="(silo, agreed.plan_digest, agreed.session, agreed.digest):",
        new="(silo, agreed.plan_digest, agreed.session, vote.set_digest):",
        killed_by=(ATTACKS + "test_different_sets_shown_to_different_silos_are_never_masked",),
    ),
    Mutant(
        name="a larger set after a smaller one",
        path=MEMBER,
        old="record.begun or not set(agreed.members) < set(record.members)",
        new="record.begun",
        killed_by=(ATTACKS + "test_a_silo_signs_one_set_and_after_it_only_smaller_ones",),
    ),
    Mutant(
        name="a set with other keys of the silo's own",
        path=MEMBER,
        old="if record is None or record.advert not in adverts:",
        new="if record is None:",
        killed_by=(ATTACKS + "test_a_silo_signs_no_set_with_other_keys_of_its_own",),
    ),
    Mutant(
        name="a peer that copies a key",
        path=STATEMENTS,
        old="if len(set(keys)) != len(keys):",
        new="if not keys:",
        killed_by=(ATTACKS + "test_a_peer_that_copies_a_key_is_refused",),
    ),
    Mutant(
        name="a set too small for the noise",
        path=STATEMENTS,
        old="if len(members) < least or",
        new="if",
        killed_by=(SETS + "test_a_set_smaller_than_the_noise_needs_is_refused",),
    ),
    Mutant(
        name="keys that another silo signed",
        path=STATEMENTS,
        old="if signer != plan.roster.get(advert.silo):",
        new="if signer is None and plan.roster:",
        killed_by=(ATTACKS + "test_a_colluder_cannot_give_keys_in_another_silos_name",),
    ),
    Mutant(
        name="sessions without end",
        path=MEMBER,
        old="if not plan.masked or session > plan.attempts:",
        new="if not plan.masked:",
        killed_by=(ATTACKS + "test_a_session_beyond_the_plans_attempts_is_refused",),
    ),
    Mutant(
        name="secrets that are kept",
        path=MEMBER,
        old='self._store.save(record.model_copy(update={"secrets": rest}))',
        new="rest.clear()",
        killed_by=(ATTACKS + "test_asking_twice_makes_the_same_masks_and_after_storing_none",),
    ),
    Mutant(
        name="a ring that is known before the silos' keys are",
        path=MASK,
        old="start = hashlib.sha256(_RING + set_digest.encode())",
        new="start = hashlib.sha256(_RING)",
        killed_by=(RING + "test_every_set_has_a_ring_of_its_own",),
    ),
    Mutant(
        name="a ring in the order of the names",
        path=MASK,
        old="return tuple(sorted(members, key=place))",
        new="return tuple(members)",
        killed_by=(RING + "test_every_set_has_a_ring_of_its_own",),
    ),
    Mutant(
        name="peers on one side alone",
        path=MASK,
        old="for d in (-step, step)]",
        new="for d in (step, step)]",
        killed_by=(RING + "test_whom_a_silo_masks_against_masks_against_it",),
    ),
    Mutant(
        name="half of the peers",
        path=MASK,
        old="range(1, peers // 2 + 1)",
        new="range(1, peers // 4 + 1)",
        killed_by=(
            RING + "test_as_many_colluders_as_peers_part_a_ring_and_one_less_never",
            RING + "test_the_bound_is_no_less_than_the_chance_over_all_colluders",
        ),
    ),
    Mutant(
        name="peers whose number forgets the colluders",
        path=TRUST,
        old="    while math.perm(colluders, count) << RING_BITS >",
        new="    while math.perm(0, count) << RING_BITS >",
        killed_by=(
            RING + "test_peers_are_as_many_as_the_bound_needs",
            RING + "test_a_plan_cannot_have_fewer_peers_than_its_colluders_allow",
        ),
    ),
    Mutant(
        name="peers for a coordinator that tries no sets",
        path=TRUST,
        old="LEAST_PEERS, RING_BITS = 32, 120",
        new="LEAST_PEERS, RING_BITS = 32, 40",
        killed_by=(RING + "test_peers_are_as_many_as_the_bound_needs",),
    ),
    Mutant(
        name="peers for silos that may be away",
        path=TRUST,
        old="return fewest_peers(silos - self.absent, colluders=self.colluders)",
        new="return fewest_peers(silos, colluders=self.colluders)",
        killed_by=(RING + "test_silos_that_may_stay_away_count_as_away",),
    ),
    Mutant(
        name="as many peers as the coordinator says",
        path=TRUST,
        old="if peers is None or peers < least or peers % 2:",
        new="if peers is None or peers % 2:",
        killed_by=(RING + "test_a_plan_cannot_have_fewer_peers_than_its_colluders_allow",),
    ),
)
