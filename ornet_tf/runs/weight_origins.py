"""Where the weights of phases and evaluation rows come from: what has none is refused before anything is trained."""
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ornet_tf.errors import UserError
from ornet_tf.methods import Method
from ornet_tf.models import layers
from ornet_tf.models.variables import named_variables

PRETRAINED = "the backbone's weights file"


def find_missing(parts: Mapping[str, Any], given: Collection[str], pretrained: Collection[str]) -> list[str]:
    """Returns "part/layer/kind" of the weights that are neither of a part that is given, nor pretrained.

    Args:
      parts: name -> model.
      given: names of the parts that get their weights from a phase.
      pretrained: names of the backbone's layers whose weights come from a file.
    """
    of_others = {name: part for name, part in parts.items() if name not in given}
    return [key for key in named_variables(of_others, trainable_only=False) if key.split("/")[1] not in pretrained]


class Origins:
    """Follows each weight through the phases of an experiment, in the order in which they are trained.

    The origin of a weight is the phase that has changed it last, or `PRETRAINED`.
    """

    def __init__(self, pretrained: Collection[str] | None):
        """Begins before the first phase.

        Args:
          pretrained: names of the backbone's layers whose weights come from a file. None where that does not matter any
            more: what no phase has changed is taken as pretrained.
        """
        self._pretrained = pretrained
        self._phases: dict[str, dict[str, str]] = {}  # phase -> "part/layer/kind" -> origin
        self._shapes: dict[str, dict[str, tuple]] = {}  # phase -> part -> shapes of its weights
        self._inputs_of_prior: dict[str, dict[str, str]] = {}  # phase -> "lower/layer/kind" ... -> origin

    def add_phase(
        self, name: str, method: Method, init_from: Mapping[str, str], trained: Iterable[Any], *, where: str
    ) -> None:
        """Takes in the next phase.

        Args:
          name: of the phase.
          method: the method.
          init_from: part -> "phase.part".
          trained: the variables that optimisers change.
          where: the config path of the phase, for messages.

        Raises:
          UserError: if a part has no weights, `init_from` names none, or an object prior's features do not stay.
        """
        changed = {id(variable) for variable in trained}
        prior = getattr(method, "prior", None)
        fixed = {id(v): path for path, v in prior.inputs.items()} if prior else {}
        moving = [fixed[key] for key in fixed if key in changed]
        if moving:
            raise UserError(
                f"{where}.trainable: expected expressions that leave out {moving[0]} ({len(moving)} such variables): "
                "the object prior sums up features that come from it, and must see the same features throughout. "
                "('generator/',) leaves them out."
            )
        for part in method.parts.values():
            # What a method has frozen runs as in inference; what it has not may have statistics that move.
            learns = prior is not None and prior.learns and part is prior.direction
            if learns or (part.trainable and not (prior is not None and part is prior.direction)):
                changed.update(id(v) for v in layers.statistics(part) if id(v) not in fixed)
        variables = named_variables(method.parts, trainable_only=False)
        here = {key: name for key, variable in variables.items() if id(variable) in changed}
        before = self._of(variables, init_from, method, where, here)
        inputs = self._check_prior(method, variables, before, where)
        if prior is not None and prior.learns:
            self._inputs_of_prior[name] = inputs
        self._phases[name] = {**before, **here}
        self._shapes[name] = {part: _shapes(model) for part, model in method.parts.items()}

    def check_row(self, method: Method, init_from: Mapping[str, str], *, where: str) -> None:
        """Checks an evaluation row as `add_phase` checks a phase; a row trains nothing."""
        variables = named_variables(method.parts, trainable_only=False)
        self._check_prior(method, variables, self._of(variables, init_from, method, where, ()), where)

    def _of(self, variables, init_from, method, where, changed) -> dict[str, str]:
        """Returns the origin of what the phase or row does not change, by "part/layer/kind"."""
        for part, source in init_from.items():
            phase, origin_part = source.split(".")
            if part not in method.parts or origin_part not in self._shapes.get(phase, {}):
                raise UserError(
                    f"{where}.init_from.{part} = {source!r}: {where.rpartition('.')[2]} has the parts "
                    f"{', '.join(method.parts)}, {phase} has {', '.join(self._shapes.get(phase, {})) or 'none'}."
                )
            there, here = self._shapes[phase][origin_part], _shapes(method.parts[part])
            if there[: len(here)] != here:  # a part may be the beginning of another one
                raise UserError(
                    f"{where}.init_from.{part} = {source!r}: expected {len(here)} weights of the shapes of {part}, got "
                    f"{len(there)} weights, or others. Name a part of the same model."
                )
        lacking = []
        if self._pretrained is not None:
            needless = {*changed, *getattr(method, "unused_weights", ())}
            lacking = [key for key in find_missing(method.parts, init_from, self._pretrained) if key not in needless]
        if lacking:
            part = lacking[0].partition("/")[0]
            advice = self._advice(part, _shapes(method.parts[part]), where)
            raise UserError(missing_message(lacking[0], where, advice))
        found = {}
        for key in variables:
            part, _, rest = key.partition("/")
            if part in init_from:
                phase, origin_part = init_from[part].split(".")
                found[key] = self._phases[phase].get(f"{origin_part}/{rest}", phase)
            elif key not in changed:
                found[key] = PRETRAINED
        return found

    def _advice(self, part: str, shapes: tuple, where: str) -> str:
        """Returns the line that would give a part its weights, where an earlier phase has a part like it."""
        fitting = [
            f"{phase}.{name}" for phase, parts in self._shapes.items() for name, others in parts.items()
            if others == shapes
        ]
        if not fitting:
            return f"No phase before it has a part like it: add one to config.phases that trains {part}."
        # The latest part of that name; else one whose phase and name make it up, as evaluator.upper does.
        named = [source for source in fitting if source.split(".")[1] == part]
        made_up = [source for source in fitting if source.replace(".", "_") == part]
        return f"Set {where}.init_from.{part} = {[*fitting[:1], *made_up, *named][-1]!r}."

    def _check_prior(self, method, variables, origins, where) -> dict[str, str]:
        """Returns the origins of the weights that a prior's features come from.

        Raises:
          UserError: if its direction was learned with others.
        """
        prior = getattr(method, "prior", None)
        if prior is None:
            return {}
        key_of = {id(variable): key for key, variable in variables.items()}
        inputs = {path: origins[key_of[id(variable)]] for path, variable in prior.inputs.items()}
        # None where the direction is begun here.
        learned_in = origins.get(key_of[id(prior.direction.weights[0])])
        for path, expected in self._inputs_of_prior.get(learned_in, {}).items():
            if inputs[path] != expected:
                raise UserError(
                    f"{where}.init_from: expected the weights that the object prior was learned with in {learned_in}, "
                    f"got others: {path} comes from {inputs[path]}, there from {expected}. Take the parts from "
                    f"{learned_in}, or leave {path} out of what {inputs[path]} trains."
                )
        return inputs


def missing_message(key: str, where: str, advice: str) -> str:
    """Returns what a user is told of a weight, "part/layer/kind", that nothing gives its value."""
    part, _, rest = key.partition("/")
    return (
        f"{where}.init_from: expected weights for the part {part}, got none for {rest}: it is neither trained here nor "
        f"pretrained. {advice}"
    )


def _shapes(model) -> tuple:
    return tuple(tuple(weight.shape) for weight in model.weights)
