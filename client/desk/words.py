"""A plan in plain words, for the person who decides about it."""

from __future__ import annotations

from silosynth.client.desk.desk import Facts
from silosynth.common.plan.phases import OF_VALUES


def short_digest(plan: Facts) -> str:
    """Return the start of a plan's digest, long enough to name it."""
    return str(plan["digest"]).removeprefix("sha256:")[:12]


def plan_words(plan: Facts) -> tuple[str, ...]:
    """Say who asks, what is asked, and what it costs."""
    if "unusable" in plan:
        return (f"it cannot be approved: {plan['unusable']}",)
    if "id" not in plan:
        return ("its text is not kept here any more",)
    marginals = sum(p["marginals"] for p in plan["phases"])
    cells = sum(p["cells"] for p in plan["phases"])
    rows = plan["rows_per_person"]
    return (
        f"coordinator {plan['coordinator']!r} asks, for project {plan['project']!r}, together "
        f"with {len(plan['silos'])} silos: {', '.join(plan['silos'])}",
        f"of data set {plan['dataset']!r}: noised counts of up to {marginals:,} marginals, "
        f"{cells:,} cells in all, by method {plan['method']!r}",
        *(
            f"phase {p['name']!r}: up to {p['marginals']:,} {_counted(p['name'])} with noise of "
            f"standard deviation {p['noise_deviation']:.4g} on every count"
            for p in plan["phases"]
        ),
        f"what is sent tells about one person (up to {rows} row{'s' * (rows > 1)}) at most "
        f"epsilon {plan['epsilon']:g} at delta {plan['delta']:g}; the budgets are charged epsilon "
        f"{plan['ledger_epsilon']:.4g} (zCDP conversion)",
        *_checkpoint_words(plan),
        *_shared_words(plan),
        "no row leaves the silo, and nothing is ever refunded",
    )


def _counted(phase: str) -> str:
    """Say what a phase counts."""
    return "histograms of one number's values" if phase in OF_VALUES else "marginals"


def _checkpoint_words(plan: Facts) -> tuple[str, ...]:
    """Say which pretrained checkpoint a network starts from."""
    if plan.get("checkpoint") is None:
        return ()
    return (
        f"a network is trained that starts from the pretrained checkpoint {plan['checkpoint']}, of "
        "which the policy names a copy; it stays as it is",
    )


def _shared_words(plan: Facts) -> tuple[str, ...]:
    """Say what the silo relies on where it adds a share of the noise alone."""
    if plan.get("trust") != "shared":
        return ()
    return (
        f"the noise is shared: this silo adds a part of it, its counts are masked, and only the "
        f"sum over the silos is seen; this holds while at most {plan['colluders']} silos work "
        "with the coordinator",
        f"if the masks failed, this silo's own noise would leave epsilon "
        f"{plan['alone_epsilon']:.4g} (zCDP conversion)",
    )
