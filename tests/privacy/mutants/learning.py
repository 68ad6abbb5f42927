"""How rows are clipped, summed and sampled in training, and what steps follow from."""

from __future__ import annotations

from tests.privacy.mutants.mutant import Mutant

CLIP, GRADIENT, ROUND, TRAINING, VERIFY, PEOPLE, FEATURES = (
    "client/learning/clip.py",
    "client/learning/gradient.py",
    "client/learning/round.py",
    "common/plan/training.py",
    "client/gateway/verify.py",
    "client/source/people.py",
    "common/generator/features.py",
)
IN_CLIP, ATTACK, IN_ROUND, IN_GRADIENT = (
    f"tests/privacy/test_{name}.py::test_" for name in ("clip", "clip_attack", "round", "gradient")
)
IN_FEATURES = "tests/common/generator/test_features.py::test_"
IN_GATEWAY = "tests/client/gateway/test_gateway_training.py::test_"
EVERY_ROW = IN_CLIP + "rows_of_all_magnitudes_keep_within_the_bound_beside_one_another"
ABOVE = IN_CLIP + "a_row_above_the_bound_even_when_truncated_counts_as_zero"
INFINITE = IN_CLIP + "rows_of_scales_beyond_single_precision_count_as_zero"
NOT_CAST = IN_CLIP + "a_sum_that_its_rows_cannot_add_up_to_is_not_cast"
EXACT = IN_CLIP + "the_exact_check_does_not_wrap"
LIFTED = IN_GRADIENT + "a_row_that_rounding_lifts_above_the_bound_"
COMPANY = IN_GRADIENT + "a_rows_integers_do_not_depend_on_its_company"
STEP = IN_ROUND + "weights_between_steps_follow_from_noised_sums_and_public_numbers"
THROUGH = IN_ROUND + "through_the_gateway_each_step_has_its_own_sample_and_noise"
SAMPLED = IN_ROUND + "each_step_takes_a_sample_of_its_own"
LEAVES = IN_ROUND + "what_leaves_is_the_sum_of_what_was_noised_once_a_step"
AS_MANY = IN_ROUND + "as_many_sums_are_noised_as_a_round_is_charged_for"
ANY_PLAN = ATTACK + "a_gateway_refuses_such_a_clip_even_if_plans_allowed_it"
NO_PLAN = ATTACK + "a_plan_with_such_a_clip_cannot_be_made"

MUTANTS = (
    Mutant(
        name="a row above the bound is added after truncation",
        path=CLIP,
        old="    if is_within(lower):\n",
        new="    if len(lower):\n",
        killed_by=(ABOVE, EVERY_ROW),
    ),
    Mutant(
        name="a row above the bound is added and truncated as well",
        path=CLIP,
        old="        scales[~within] = 0\n",
        new="        scales[np.isnan(norms2)] = 0\n",
        killed_by=(ABOVE, LIFTED + "is_rounded_towards_zero"),
    ),
    Mutant(
        name="twice the bound is within it",
        path=CLIP,
        old="_BOUND2 = np.float32(BOUND**2)",
        new="_BOUND2 = np.float32(4 * BOUND**2)",
        killed_by=(LIFTED + "is_rounded_towards_zero",),
    ),
    Mutant(
        name="what cannot be compared is within the bound",
        path=CLIP,
        old="within = norms2 <= _BOUND2",
        new="within = ~(norms2 > _BOUND2)",
        killed_by=(IN_CLIP + "integers_that_are_no_numbers_are_not_within_the_bound",),
    ),
    Mutant(
        name="a row of an infinite scale counts",
        path=CLIP,
        old="    usable = np.isfinite(norms) & np.isfinite(scales)\n    scales[~usable] = 0\n",
        new="    usable = np.isfinite(norms)\n    scales[~usable] = 0\n",
        killed_by=(INFINITE + "[here]",),
    ),
    Mutant(
        name="squares of a row's integers wrap",
        path=CLIP,
        old="    if not all(bool((np.abs(piece) <= BOUND).all()) for piece in pieces):\n",
        new="    if not all(bool(np.isfinite(piece).all()) for piece in pieces):\n",
        killed_by=(EXACT,),
    ),
    Mutant(
        name="a row a little above the bound is within it",
        path=CLIP,
        old="for piece in pieces) <= BOUND**2\n",
        new="for piece in pieces) <= (BOUND + 1) ** 2\n",
        killed_by=(EXACT,),
    ),
    Mutant(
        name="a sum that is no number is cast",
        path=CLIP,
        old="    if not bool((np.abs(sums) <= rows * BOUND).all()):\n",
        new="    if bool((np.abs(sums) > rows * BOUND).any()):\n",
        killed_by=(NOT_CAST,),
    ),
    Mutant(
        name="a sum beyond its rows is cast",
        path=CLIP,
        old="    if not bool((np.abs(sums) <= rows * BOUND).all()):\n",
        new="    if not bool(np.isfinite(sums).all()):\n",
        killed_by=(NOT_CAST,),
    ),
    Mutant(
        name="clipping warns of rows",
        path=CLIP,
        old='    with np.errstate(all="ignore"):\n',
        new='    with np.errstate(invalid="ignore"):\n',
        killed_by=(IN_CLIP + "clipping_warns_of_nothing_that_data_decides",),
    ),
    Mutant(
        name="on a gpu a row above the bound counts",
        path=GRADIENT,
        old="(usable & (norms2 <= BOUND**2))[:, None]",
        new="usable[:, None]",
        killed_by=(LIFTED + "adds_nothing_on_a_gpu", EVERY_ROW),
    ),
    Mutant(
        name="on a gpu a row of an infinite scale counts",
        path=GRADIENT,
        old="    usable = squares.isfinite() & scales.isfinite()\n",
        new="    usable = squares.isfinite()\n",
        killed_by=(INFINITE + "[torch]",),
    ),
    Mutant(
        name="on a gpu the last microbatch has another shape",
        path=GRADIENT,
        old='known = pretrained is None and self._device.type == "cpu"',
        new="known = pretrained is None",
        killed_by=(IN_CLIP + "on_a_gpu_every_microbatch_has_one_shape",),
    ),
    Mutant(
        name="rows that fill a microbatch up are added",
        path=GRADIENT,
        old="g.reshape(len(g), -1)[:rows] for g",
        new="g.reshape(len(g), -1) for g",
        killed_by=(COMPANY,),
    ),
    Mutant(
        name="a local step follows the sum before noise",
        path=ROUND,
        old="weights = local_step(weights, noised,",
        new="weights = local_step(weights, clipped,",
        killed_by=(STEP, THROUGH),
    ),
    Mutant(
        name="a local step follows the sums before and after noise",
        path=ROUND,
        old="weights = local_step(weights, noised,",
        new="weights = local_step(weights, (clipped + noised) // 2,",
        killed_by=(STEP, THROUGH),
    ),
    Mutant(
        name="a local step is divided by how many rows there are",
        path=ROUND,
        old="batch=step.batch or 1)",
        new="batch=max(1, len(people.examples)))",
        killed_by=(STEP, THROUGH),
    ),
    Mutant(
        name="one Poisson sample serves all local steps of a round",
        path=ROUND,
        old="""    for number in range(training.local_steps):
        gradients.load(weights)
        clipped, without = gradients.sum(people.sample(threshold, bits=bits), words=bits.words)
""",
        new="""    sampled = people.sample(threshold, bits=bits)
    for number in range(training.local_steps):
        gradients.load(weights)
        clipped, without = gradients.sum(sampled, words=bits.words)
""",
        killed_by=(SAMPLED, THROUGH),
    ),
    Mutant(
        name="everybody is in every step",
        path=ROUND,
        old="plan.phase(PhaseName.TRAINING).rate or Fraction(1)",
        new="Fraction(1)",
        killed_by=(SAMPLED, THROUGH),
    ),
    Mutant(
        name="a person is in a step a little too often",
        path=ROUND,
        old="    return int(rate * 2**64)\n",
        new="    return min(int(rate * 2**64) + 1, 2**64)\n",
        killed_by=(IN_ROUND + "nobody_is_in_a_sample_more_often_than_the_rate_says",),
    ),
    Mutant(
        name="what leaves a round is the sum before noise",
        path=ROUND,
        old="        total += noised\n",
        new="        total += clipped\n",
        killed_by=(LEAVES, THROUGH),
    ),
    Mutant(
        name="only the first step of a round gets noise",
        path=ROUND,
        old="        noised = add_noise(clipped)\n",
        new="        noised = clipped if number else add_noise(clipped)\n",
        killed_by=(AS_MANY, THROUGH),
    ),
    Mutant(
        name="the noise of the first step serves all of a round",
        path=ROUND,
        old="        noised = add_noise(clipped)\n",
        new="""        if not number:
            noise = add_noise(clipped) - clipped
        noised = clipped + noise
""",
        killed_by=(AS_MANY, LEAVES),
    ),
    Mutant(
        name="a word equal to the threshold means in",
        path=PEOPLE,
        old="bits.words(self.count) < np.uint64(threshold)",
        new="bits.words(self.count) <= np.uint64(threshold)",
        killed_by=(IN_ROUND + "a_word_below_the_threshold_means_in_and_no_other",),
    ),
    Mutant(
        name="rows of one person are sampled one by one",
        path=PEOPLE,
        old="""        chosen = bits.words(self.count) < np.uint64(threshold)
        sampled: np.ndarray = self.examples[chosen[self.person]]
""",
        new="""        chosen = bits.words(len(self.person)) < np.uint64(threshold)
        sampled: np.ndarray = self.examples[chosen]
""",
        killed_by=(
            IN_ROUND + "rows_of_one_person_are_in_together",
            IN_GRADIENT + "samples_are_poisson_and_take_all_rows_of_a_person",
        ),
    ),
    Mutant(
        name="a plan may have any clip above zero",
        path=TRAINING,
        old="ge=LEAST_CLIP, le=LARGEST_CLIP",
        new="gt=0, le=LARGEST_CLIP",
        killed_by=(NO_PLAN,),
    ),
    Mutant(
        name="the least clip is far too small",
        path=TRAINING,
        old="LEAST_CLIP = 1e-6\n",
        new="LEAST_CLIP = 1e-40\n",
        killed_by=(NO_PLAN, ANY_PLAN),
    ),
    Mutant(
        name="a gateway takes the plan's word for the clip",
        path=VERIFY,
        old="        check_clip(plan.training.clip)\n",
        new="",
        killed_by=(ANY_PLAN,),
    ),
    Mutant(
        name="weights that are no numbers are read",
        path=TRAINING,
        old="    if not bool((np.abs(weights) <= LARGEST_WEIGHT).all()):\n",
        new="    if bool((np.abs(weights) > LARGEST_WEIGHT).any()):\n",
        killed_by=(
            IN_ROUND + "weights_that_are_no_moderate_numbers_are_refused",
            IN_GRADIENT + "weights_that_overflow_for_some_rows_tell_nobody_which",
        ),
    ),
    Mutant(
        name="more weights than there are parameters are read",
        path=TRAINING,
        old="len(data) != WEIGHT_BYTES * parameters:",
        new="len(data) < WEIGHT_BYTES * parameters:",
        killed_by=(IN_ROUND + "weights_of_another_type_or_number_are_refused",),
    ),
    Mutant(
        name="a round is charged for one step",
        path=VERIFY,
        old="    return plan.training.local_steps\n",
        new="    return 1\n",
        killed_by=(
            IN_GATEWAY + "rounds_are_charged_at_the_budgets_order_up_to_what_the_plan_costs",
        ),
    ),
    Mutant(
        name="a cosine that is no number is cast",
        path=FEATURES,
        old="        pair[~((pair**2).sum(axis=-1) <= PAIR_BOUND2)] = 0\n",
        new="        pair[(pair**2).sum(axis=-1) > PAIR_BOUND2] = 0\n",
        killed_by=(IN_FEATURES + "a_cosine_beyond_one_is_dropped_and_not_sent",),
    ),
    Mutant(
        name="a cosine beyond one is sent",
        path=FEATURES,
        old="        pair[~((pair**2).sum(axis=-1) <= PAIR_BOUND2)] = 0\n",
        new="        pair[np.isnan(pair)] = 0\n",
        killed_by=(IN_FEATURES + "a_cosine_beyond_one_is_dropped_and_not_sent",),
    ),
)
