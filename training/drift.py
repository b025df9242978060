"""How new rows differ from those that the transforms were fitted on, column by column, in words.

A retraining keeps the deployed model's transforms, so a level that they do not know stays unknown,
and a value beyond their range is cut off at its end. Here: how many rows that concerns, and what to
say where it is more than a little. Not here: the transforms (shared/transforms.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from shared import values
from shared.arrivals import ANEW
from shared.retraining import Shift
from shared.scaling import Scaling
from shared.transforms import Transforms
from shared.values import Array, Columns
from shared.vocabulary import Vocabulary

# A share that is higher by more than this is told; a missing rate also when it is lower.
MOVED = 0.05
_SHOWN = 3


def shifts(transforms: Transforms, old: Columns, new: Columns) -> tuple[Shift, ...]:
    """What moved, for every feature.

    Args:
        transforms: the deployed model's.
        old: columns of rows that it learnt from, those of its sources included.
        new: the same of the new rows.
    """
    found = []
    for vocabulary in transforms.vocabularies:
        name = vocabulary.name
        found += [_unknown(vocabulary, old[name], new[name]), _missing(name, old[name], new[name])]
    for scaling in transforms.scalings:
        name = scaling.name
        found += [_outside(scaling, old[name], new[name]), _missing(name, old[name], new[name])]
    for clock in transforms.clocks:
        found.append(_missing(clock.name, old[clock.name], new[clock.name]))
    return tuple(found)


def told(found: Sequence[Shift]) -> str:
    """One line on all of them."""
    moved = sum(shift.words is not None for shift in found)
    columns = len({shift.column for shift in found})
    if not moved:
        return f"{columns} columns compared: the new rows look like the old ones"
    return f"{columns} columns compared: {moved} of their shares moved by more than {MOVED:.0%}"


def _unknown(vocabulary: Vocabulary, old: Array, new: Array) -> Shift:
    known = vocabulary.codes
    strange = Counter(level for level in new.tolist() if level not in known)
    before = sum(level not in known for level in old.tolist()) / len(old)
    share = strange.total() / len(new)
    words = None
    if share - before > MOVED:
        names = ", ".join(level for level, _ in strange.most_common(_SHOWN))
        more = ", …" if len(strange) > _SHOWN else ""
        much = "every new row holds" if share == 1 else f"{share:.1%} of the new rows hold"
        words = (
            f"Column {vocabulary.name!r}: {much} a level that training never saw ({names}{more}), "
            "all of them one to the network. To have them told apart, add the rows to the "
            f"project's data and {ANEW}."
        )
    return Shift(vocabulary.name, "unknown", before, share, words)


def _outside(scaling: Scaling, old: Array, new: Array) -> Shift:
    def beyond(data: Array) -> float:
        return float(((data < scaling.low) | (data > scaling.high)).mean())

    before, share = beyond(old), beyond(new)
    words = None
    if share - before > MOVED:
        words = (
            f"Column {scaling.name!r}: {share:.1%} of the new rows lie outside {scaling.low:.6g} "
            f"to {scaling.high:.6g}, which the transforms were fitted on ({before:.1%} of the old "
            "rows do), and count as its ends. To have them told apart, add the rows to the "
            f"project's data and {ANEW}."
        )
    return Shift(scaling.name, "outside", before, share, words)


def _missing(name: str, old: Array, new: Array) -> Shift:
    before, share = (float(values.is_missing(data).mean()) for data in (old, new))
    words = None
    if abs(share - before) > MOVED:
        source = name.rpartition(".")[0]
        words = f"Column {name!r}: missing in {share:.1%} of the new rows, {before:.1%} of the old."
        if source and share > before:
            words += (
                f" The table of the source {source!r} is the deployed model's own: where it knows "
                f"too little of the new rows, renew it and {ANEW}."
            )
    return Shift(name, "missing", before, share, words)
