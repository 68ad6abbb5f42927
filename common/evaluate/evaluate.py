"""Hold a synthetic table against real rows: is it close, useful, private, and can it be made again?

What comes out is **not** differentially private: it must stay where the real rows are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from silosynth.common.attacks import Attacked, attack, refuse_shared_rows
from silosynth.common.codec import (
    TableLike,
    as_spelled,
    as_table,
    distinct,
    flatten,
    is_text,
    to_texts,
)
from silosynth.common.errors import InvalidArgument, InvalidTable
from silosynth.common.evaluate.impossible import impossible
from silosynth.common.evaluate.joint import correlation_gaps, query_errors, value_distances
from silosynth.common.evaluate.lamps import (
    fidelity_lamp,
    privacy_lamp,
    reuse_lamp,
    utility_lamp,
)
from silosynth.common.evaluate.made import UNKNOWN, Made, Tell, Wish, silent
from silosynth.common.evaluate.shapes import column_facts, dropped_labels, rare_labels
from silosynth.common.evaluate.utility import MOST_LEARNT, check_targets, evaluate_targets
from silosynth.common.evaluate.validity import validity
from silosynth.common.learners import features, one_thread, tell_apart
from silosynth.common.report import (
    Axis,
    Better,
    ColumnFacts,
    Dropped,
    EvaluationFacts,
    Example,
    Measure,
)
from silosynth.common.schema import Attribute, Schema
from silosynth.common.scores import Column, Sides, Values, make_sides, read_values
from silosynth.common.seeded import SeededWords

FEWEST_ROWS = 200
EXAMPLES = 10
_APART_ROWS = 6_000
_MOST_DROPPED = 50
_TOP = 8

NOTHING = Attacked(measures=(), exhibits=(), curves=(), worst=())


def evaluate(
    real: TableLike,
    synthetic: TableLike,
    *,
    control: TableLike | None = None,
    schema: Schema | None = None,
    wish: Wish | None = None,
    made: Made = UNKNOWN,
    seed: int = 0,
    tell: Tell = silent,
) -> EvaluationFacts:
    """Compare values with values. The same arguments give the same facts.

    Args:
        control: other real rows; without them the ceiling is a bootstrap, which flatters it.
        schema: what the columns are; without one the real columns say so.
        made: how the table was made: its guarantee, its sampler, what left the silos.
        seed: for choices of rows and cliques, folds and questions.
        tell: told one line before each step.

    Raises InvalidTable for fewer than 200 rows, other columns, or a control that shares rows with
    the real table; InvalidArgument for an attack without a control.
    """
    with one_thread():
        return _evaluate(
            [as_table(t, origin=o) for t, o in _named(real, synthetic, control)],
            schema=schema,
            asked=wish or Wish(),
            made=made,
            seed=seed,
            tell=tell,
        )


def _evaluate(
    given: Sequence[pa.Table],
    *,
    schema: Schema | None,
    asked: Wish,
    made: Made,
    seed: int,
    tell: Tell,
) -> EvaluationFacts:
    """Work the facts out, on one core."""
    _check_rows(given, asked)
    tell("reading values")
    tables, skipped = read_values(given, schema=schema)
    beside = tables[2] if len(tables) > 2 else None
    if beside is not None:
        refuse_shared_rows(tables[0], beside)
    check_targets(tables[0], targets=asked.targets, groups=asked.groups)
    sides = make_sides(tables[0], tables[1], beside, seed=seed)
    tell("comparing columns, and columns together")
    columns = _columns(tables)
    odd = impossible(sides, known=(tables[0], *tables[2:]), schema=schema)
    measures = [
        *_shape_measures(columns),
        *value_distances(sides, seed=seed),
        *correlation_gaps(sides),
        odd.measure,
        *_label_measures(tables),
        *validity(given, schema=schema, keys=skipped, seed=seed),
    ]
    dropped, control_rows = _dropped(tables), None if beside is None else beside.rows
    if not asked.attack:  # from here on as many rows as are compared will do
        tables, beside = (), None
        pa.default_memory_pool().release_unused()
    tell("telling both tables apart")
    apart, told = _apart(sides, seed=seed)
    tell("learning from synthetic rows")
    useful = evaluate_targets(
        sides,
        control=control_rows is not None,
        targets=asked.targets,
        groups=asked.groups,
        seed=seed,
    )
    measures += [*apart, *query_errors(sides, seed=seed), *useful.measures]
    attacked = NOTHING
    if asked.attack:
        attacked = attack(
            tables, given, known=made.known, secrets=asked.targets, seed=seed, tell=tell
        )
    measures += [*attacked.measures, *made.reuse]
    mu = None if made.guarantee is None else made.guarantee.mu
    ceiling_is = "a bootstrap" if control_rows is None else "the control"
    return EvaluationFacts(
        rows_real=given[0].num_rows,
        rows_synthetic=given[1].num_rows,
        rows_control=control_rows,
        rows_compared=sides.real.rows,
        rows_learnt=min(MOST_LEARNT, sides.real.rows),
        lamps=(
            fidelity_lamp(columns, measures, ceiling_is=ceiling_is),
            utility_lamp(useful.targets, measures, ceiling_is=ceiling_is),
            privacy_lamp(made.guarantee, measures),
            reuse_lamp(measures),
        ),
        measures=tuple(measures),
        columns=columns,
        not_compared=skipped,
        dropped=dropped,
        impossible=odd.pairs,
        structural_zeros=odd.structural_zeros,
        told_apart_by=told,
        targets=useful.targets,
        worst_records=attacked.worst,
        curves=attacked.curves,
        mu=mu,
        exhibits=attacked.exhibits,
        audit=made.audit,
        example=_example(given, sides.real.names, schema=schema, seed=seed),
    )


def _named(
    real: TableLike, synthetic: TableLike, control: TableLike | None
) -> list[tuple[TableLike, str]]:
    """Return the tables that were given, with what errors call them."""
    named = [(real, "real table"), (synthetic, "synthetic table")]
    return named if control is None else [*named, (control, "control table")]


def _check_rows(tables: Sequence[pa.Table], wish: Wish) -> None:
    """Refuse tables too small to say anything of, and attacks without a control."""
    if wish.attack and len(tables) < 3:
        raise InvalidArgument(
            "an attack needs a control", hint="give rows of other people with --control"
        )
    for table, name in zip(tables, ("real", "synthetic", "control"), strict=False):
        if table.num_rows < FEWEST_ROWS:
            raise InvalidTable(
                f"the {name} table has fewer than {FEWEST_ROWS} rows",
                hint="scores of so few rows are chance",
            )


def _columns(tables: Sequence[Values]) -> tuple[ColumnFacts, ...]:
    """Return every column, worst first; the ceiling is the control or a second half."""
    sides = zip(tables[0].columns, tables[1].columns, _beside(tables), strict=True)
    facts = [column_facts(*three) for three in sides]
    return tuple(sorted(facts, key=lambda c: (c.shape - c.form_off, c.name)))


def _beside(tables: Sequence[Values]) -> Iterator[Column]:
    """Yield the control's columns, or the real ones of as many rows, drawn with replacement.

    One after the other: all of them at once would be another table.
    """
    if len(tables) > 2:
        yield from tables[2].columns
        return
    real = tables[0]
    places = SeededWords(seed=0, purpose="bootstrap").below(real.rows, real.rows)
    yield from (column.take(places) for column in real.columns)


def _shape_measures(columns: Sequence[ColumnFacts]) -> list[Measure]:
    """Return mean and worst agreement of single columns. Independent columns are perfect at it."""
    shapes, ceilings = [c.shape for c in columns], [c.ceiling for c in columns]
    return [
        Measure(
            axis=Axis.FIDELITY,
            name=f"shape of columns, {name}",
            value=float(reduce(shapes)),
            ceiling=float(reduce(ceilings)),
            floor=None,
            better=Better.HIGH,
        )
        for name, reduce in (("mean", np.mean), ("worst", np.min))
    ]


def _label_measures(tables: Sequence[Values]) -> list[Measure]:
    """Return how many labels are dropped, and the share of rare ones that occur."""
    dropped, recalls = np.zeros(2, dtype=np.int64), np.zeros((2, 2), dtype=np.int64)
    for real, *others in zip(tables[0].columns, tables[1].columns, _beside(tables), strict=True):
        dropped += [len(dropped_labels(real, other)) for other in others]
        recalls += [rare_labels(real, other) for other in others]
    found = [
        Measure(
            axis=Axis.FIDELITY,
            name="dropped categories",
            value=float(dropped[0]),
            ceiling=float(dropped[1]),
            floor=0.0,
            better=Better.LOW,
        )
    ]
    if recalls[0][0]:
        found.append(
            Measure(
                axis=Axis.FIDELITY,
                name="rare categories that occur",
                value=float(recalls[0][1] / recalls[0][0]),
                ceiling=float(recalls[1][1] / recalls[1][0]),
                floor=1.0,
                better=Better.HIGH,
            )
        )
    return found


def _dropped(tables: Sequence[Values]) -> tuple[Dropped, ...]:
    """Return the commonest labels that no synthetic row has."""
    found = [
        Dropped(column=real.name, category=label, rows=rows)
        for real, synthetic in zip(tables[0].columns, tables[1].columns, strict=True)
        for label, rows in dropped_labels(real, synthetic)
    ]
    return tuple(sorted(found, key=lambda d: (-d.rows, d.column))[:_MOST_DROPPED])


def _apart(sides: Sides, *, seed: int) -> tuple[list[Measure], tuple[tuple[str, float], ...]]:
    """Return how well a classifier tells the tables apart, and by which columns."""
    first = np.arange(min(_APART_ROWS, sides.real.rows))
    rows = [features(v.take(first)) for v in (sides.real, *sides.others())]
    found = [
        tell_apart(rows[0], other, seed=seed, drops=place == 0)
        for place, other in enumerate(rows[1:])
    ]
    order = np.argsort(-found[0].drops, kind="stable")[:_TOP]
    told = tuple(
        (sides.real.names[i], float(found[0].drops[i])) for i in order if found[0].drops[i] > 0
    )
    return [
        Measure(
            axis=Axis.FIDELITY,
            name=name,
            value=values[0],
            ceiling=values[1],
            floor=values[2],
            better=Better.LOW,
        )
        for name, values in (
            ("told apart by a classifier, AUC", [f.auc for f in found]),
            ("told apart by a classifier, pMSE", [f.pmse for f in found]),
        )
    ], told


def _example(
    tables: Sequence[pa.Table], names: Sequence[str], *, schema: Schema | None, seed: int
) -> Example:
    """Return ten rows of both tables, as they are spelled; typed ones as the real file is."""
    types = {name: flatten(tables[0][name].slice(0, 1)).type for name in names}
    texts = {n for n, t in types.items() if is_text(getattr(t, "value_type", t))}
    known = {a.name: a for a in schema.attributes if a.name in texts} if schema else {}
    return Example(
        columns=tuple(names),
        real=_rows(tables[0], names, known={}, seed=seed),
        synthetic=_rows(tables[1], names, known=known, seed=seed),
    )


def _rows(
    table: pa.Table, names: Sequence[str], *, known: Mapping[str, Attribute], seed: int
) -> tuple[tuple[str, ...], ...]:
    """Spell ten rows chosen at random.

    Args: known: the attributes whose form values are written in, where they have types.
    """
    words = SeededWords(seed=seed, purpose="example")
    places = pa.array(np.sort(words.permutation(table.num_rows)[:EXAMPLES]))
    spelled = []
    for name in names:
        values, positions = distinct(flatten(table[name].take(places)))
        attribute = known.get(name)
        texts = to_texts(values) if attribute is None else as_spelled(attribute, values)
        absent = getattr(attribute, "missing_as", None) or ""
        listed = texts.to_pylist()
        spelled.append([absent if listed[i] is None else listed[i] for i in positions])
    return tuple(zip(*spelled, strict=True))
