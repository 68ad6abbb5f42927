"""The pretrained checkpoints that a silo's operator has, and the networks that plans make of them.

They are public and hold nothing of the silo's. Which ones there are is the policy's word; where
they lie is nobody's business but the operator's.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from silosynth.common.errors import PlanRefused, Refused
from silosynth.common.generator import Pretrained, short
from silosynth.common.plan import Plan
from silosynth.common.schema import Schema

if TYPE_CHECKING:
    from silosynth.common.generator import Checkpoint, PretrainedNetwork, Words

_MOST_CHECKED = 64


class Checkpoints:
    """Own the folders of checkpoints by their digests."""

    def __init__(self, folders: Mapping[str, Path] | None = None) -> None:
        """Take the folders; nothing is opened yet."""
        self._folders = dict(folders or {})
        self._checked: set[str] = set()

    def require(self, plan: Plan, schema: Schema) -> None:
        """Raise unless the network of a plan can be built here; ask before anything is charged.

        Also where its rows vote by a folder. Raises Refused without the extra, PlanRefused for a
        checkpoint that the policy does not name, InvalidCheckpoint where its files are not what the
        digest says, InvalidPlan where the plan does not fit it. It reads no table. What it opened
        stays in memory.
        """
        self.words(plan)
        architecture = _pretrained(plan)
        if architecture is None:
            return
        self._open(plan, architecture)
        if plan.digest not in self._checked:
            network = self.network(plan, schema)
            assert network is not None
            network.require_gradients()
            self._checked = {plan.digest, *list(self._checked)[: _MOST_CHECKED - 1]}

    def network(self, plan: Plan, schema: Schema) -> PretrainedNetwork | None:
        """Return the network of a plan, its weights not set; None where it needs no checkpoint."""
        architecture = _pretrained(plan)
        if architecture is None:
            return None
        checkpoint = self._open(plan, architecture)
        from silosynth.common.generator import PretrainedNetwork  # see below

        return PretrainedNetwork(architecture, schema, checkpoint)

    def words(self, plan: Plan) -> Words | None:
        """Return the folder by which a plan's rows vote; None where they vote by none."""
        if plan.votes is None or plan.votes.folder is None:
            return None
        if not all(map(find_spec, ("tokenizers", "safetensors"))):
            raise Refused(
                "this silo cannot read a folder of token vectors",
                hint="install silosynth[pretrained] there",
            )
        folder = self._folder(plan)
        from silosynth.common.generator import open_words  # see below

        return open_words(folder, plan.votes.folder)

    def _folder(self, plan: Plan) -> Path:
        """Return where a plan's checkpoint lies; raise PlanRefused where the policy has it not."""
        needed = needed_checkpoint(plan)
        assert needed is not None, "asked of plans that need one alone"
        digest, what = needed
        folder = self._folders.get(digest)
        if folder is None:
            raise PlanRefused(
                f"plan {plan.id} {what} checkpoint {short(digest)}, which this silo's policy does "
                "not name",
                hint="ask the silo's operator to add it under [[checkpoints]]",
            )
        return folder

    def _open(self, plan: Plan, architecture: Pretrained) -> Checkpoint:
        """Return the checkpoint of a plan, from memory if it was opened before."""
        if not all(map(find_spec, ("transformers", "peft", "torch"))):
            raise Refused(
                "this silo cannot train a pretrained network",
                hint="install silosynth[pretrained] there",
            )
        folder = self._folder(plan)
        # transformers is an extra, and takes seconds to import: only such a plan needs it.
        from silosynth.common.generator import open_checkpoint

        return open_checkpoint(folder, architecture.checkpoint)


def needed_checkpoint(plan: Plan) -> tuple[str, str] | None:
    """Return the digest of the folder that a plan needs, and what it does by it; None without."""
    if plan.votes is not None and plan.votes.folder is not None:
        return plan.votes.folder, "counts votes by"
    digest = plan_checkpoint(plan)
    return None if digest is None else (digest, "starts from")


def plan_checkpoint(plan: Plan) -> str | None:
    """Return the digest of the checkpoint that a plan starts from, if it does."""
    architecture = _pretrained(plan)
    return None if architecture is None else architecture.checkpoint


def _pretrained(plan: Plan) -> Pretrained | None:
    """Return the architecture of a plan that starts from a checkpoint."""
    architecture = plan.training.architecture if plan.training else None
    return architecture if isinstance(architecture, Pretrained) else None
