"""Traces where the weights of phases and evaluation rows come from, to find missing weights before training."""
from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ornet_tf import methods
from ornet_tf.errors import UserError
from ornet_tf.models import layers
from ornet_tf.models.variables import named_variables

PRETRAINED = "the backbone's weights file"
OUTPUTS = "predictions"  # the backbones' layer of logits


def find_missing(parts: Mapping[str, Any], given: Collection[str], pretrained: Collection[str]) -> list[str]:
    """Returns "part/layer/kind" of the weights that come neither from a phase nor from the backbone's weights file.

    Args:
      parts: name -> model.
      given: names of the parts whose weights come from a phase.
      pretrained: names of the backbone's layers whose weights come from its file.
    """
    other_parts = {name: part for name, part in parts.items() if name not in given}
    return [key for key in named_variables(other_parts, trainable_only=False) if key.split("/")[1] not in pretrained]


class WeightOrigins:
    """Traces each weight through the phases of an experiment, in the order of their training.

    The origin of a weight is the last phase that changed it, or `PRETRAINED`. A phase of 0 epochs keeps its start
    weights. Those that are not pretrained must not be read by a phase that trains, or by a row.
    """

    def __init__(self, pretrained: Collection[str] | None, *, one_class: bool = False):
        """Starts without phases.

        Args:
          pretrained: names of the backbone's layers whose weights come from its file. None after training: every weight
            that no phase has changed then counts as pretrained.
          one_class: whether there is a single class: a classifier that nothing has trained is then always right.
        """
        self._pretrained, self._one_class = pretrained, one_class
        self._phases: dict[str, dict[str, str]] = {}  # phase -> "part/layer/kind" -> origin
        self._start_values: dict[str, dict[str, tuple]] = {}  # phase of 0 epochs -> "part/layer/kind" -> shape
        self._shapes: dict[str, dict[str, tuple]] = {}  # phase -> part -> shapes of its weights
        self._inputs_of_prior: dict[str, dict[str, str]] = {}  # phase -> "lower/layer/kind" ... -> origin

    def add_phase(
        self, name: str, method: methods.Method, init_from: Mapping[str, str], trained: Iterable[Any], *, where: str
    ) -> None:
        """Adds a phase.

        Args:
          name: the name of the phase.
          method: the method of the phase.
          init_from: part -> "phase.part".
          trained: the variables that the optimizers change; none if the phase has 0 epochs.
          where: the config path of the phase, for error messages.

        Raises:
          UserError: if weights are missing, `init_from` names an unknown part, or the phase would change the features
            of its object prior.
        """
        changed = {id(variable) for variable in trained}
        trains = bool(changed)
        prior = methods.object_prior(method)
        fixed = {id(v): path for path, v in prior.inputs.items()} if prior else {}
        trained_inputs = [fixed[key] for key in fixed if key in changed]
        if trained_inputs:
            raise UserError(
                f"{where}.trainable: expected expressions that do not match {trained_inputs[0]} ({len(trained_inputs)} "
                "such variables): the object prior needs features that do not change. Use ('generator/',), for example."
            )
        for part in method.parts.values():
            # Frozen parts run as in inference. The moving statistics of other parts change without an optimizer.
            is_direction = prior is not None and part is prior.direction
            has_new_statistics = prior.learns if is_direction else trains and part.trainable
            if has_new_statistics:
                changed.update(id(v) for v in layers.statistics(part) if id(v) not in fixed)
        variables = named_variables(method.parts, trainable_only=False)
        changed_here = {key: name for key, variable in variables.items() if id(variable) in changed}
        before, start_values = self._find_origins(variables, init_from, method, where, changed_here, trains=trains)
        inputs = self._check_prior(method, variables, before, where)
        if prior is not None and prior.learns:
            self._inputs_of_prior[name] = inputs
        self._phases[name], self._start_values[name] = {**before, **changed_here}, start_values
        self._shapes[name] = {part: _shapes(model) for part, model in method.parts.items()}

    def check_row(self, method: methods.Method, init_from: Mapping[str, str], *, where: str) -> None:
        """Checks an evaluation row like `add_phase` checks a phase; a row trains nothing."""
        variables = named_variables(method.parts, trainable_only=False)
        origins, _ = self._find_origins(variables, init_from, method, where, (), trains=True)
        self._check_prior(method, variables, origins, where)

    def check_phase_as_row(self, name: str, *, where: str) -> None:
        """Checks that a phase, which is evaluated as a row, has no start values.

        Raises:
          UserError: if it has 0 epochs, and a weight is not pretrained.
        """
        if start_values := self._start_values.get(name):
            key = next(iter(start_values))
            raise UserError(_start_value_message(where, name, key, start_values[key]))

    def _find_origins(
        self,
        variables: Mapping[str, Any],
        init_from: Mapping[str, str],
        method: methods.Method,
        where: str,
        changed: Collection[str],
        *,
        trains: bool,
    ) -> tuple[dict[str, str], dict[str, tuple]]:
        """Finds the origins of the weights that a phase or row does not change.

        Args:
          variables: "part/layer/kind" -> variable, all of the method.
          init_from: part -> "phase.part".
          method: the method.
          where: the config path of the phase or row.
          changed: keys of `variables` that the phase changes.
          trains: whether start values are refused: by a row, or by a phase of more than 0 epochs.

        Returns:
          "part/layer/kind" -> origin; and -> shape of the weights that are neither trained nor pretrained. The latter
          are refused if `trains`.
        """
        for part, source in init_from.items():
            phase, origin_part = source.split(".")
            if part not in method.parts or origin_part not in self._shapes.get(phase, {}):
                raise UserError(
                    f"{where}.init_from.{part} = {source!r}: {where.rpartition('.')[2]} has the parts "
                    f"{', '.join(method.parts)}, {phase} has {', '.join(self._shapes.get(phase, {})) or 'none'}."
                )
            given, expected = self._shapes[phase][origin_part], _shapes(method.parts[part])
            if given[: len(expected)] != expected:  # a part may be the first layers of its source
                raise UserError(
                    f"{where}.init_from.{part} = {source!r}: expected {len(expected)} weights with the shapes of "
                    f"{part}, got {len(given)} weights with other shapes. Name a part of the same model."
                )
        missing, not_needed = [], {*changed, *getattr(method, "unused_weights", ())}
        if self._pretrained is not None:
            missing = [key for key in find_missing(method.parts, init_from, self._pretrained) if key not in not_needed]
        if missing and trains:
            part = missing[0].partition("/")[0]
            advice = self._advice(part, _shapes(method.parts[part]), where)
            raise UserError(missing_message(missing[0], where, advice))
        origins, start_values = {}, {key: tuple(variables[key].shape) for key in missing}
        for key in variables:
            part, _, rest = key.partition("/")
            if part in init_from:
                phase, origin_part = init_from[part].split(".")
                path = f"{origin_part}/{rest}"
                origins[key] = self._phases[phase].get(path, phase)
                if path in self._start_values[phase] and key not in not_needed:
                    shape = self._start_values[phase][path]
                    if trains:
                        raise UserError(_start_value_message(f"{where}.init_from.{part}", phase, path, shape))
                    start_values[key] = shape
            elif key not in changed:
                origins[key] = PRETRAINED
        if self._one_class:  # any classifier is right
            start_values = {key: shape for key, shape in start_values.items() if key.startswith("generator/")}
        return origins, start_values

    def phase_with_pretrained_outputs(self) -> str:
        """Returns the first phase that keeps the pretrained outputs of the backbone; "" if there is none."""
        for name, origins in self._phases.items():
            if any(key.split("/")[1] == OUTPUTS and origin == PRETRAINED for key, origin in origins.items()):
                return name
        return ""

    def _advice(self, part: str, shapes: tuple, where: str) -> str:
        """Returns the config line that gives a part its weights, if an earlier phase has a part with these shapes."""
        fitting = [
            f"{phase}.{name}" for phase, parts in self._shapes.items() for name, part_shapes in parts.items()
            if part_shapes == shapes
        ]
        if not fitting:
            return f"No earlier phase has a part with its shapes: add a phase to config.phase_order that trains {part}."
        # The latest part of this name; otherwise "phase.part" for the name phase_part, such as evaluator.upper.
        same_name = [source for source in fitting if source.split(".")[1] == part]
        joined_name = [source for source in fitting if source.replace(".", "_") == part]
        return f"Set {where}.init_from.{part} = {[*fitting[:1], *joined_name, *same_name][-1]!r}."

    def _check_prior(self, method, variables, origins, where) -> dict[str, str]:
        """Returns the origins of the weights that compute an object prior's features.

        Raises:
          UserError: if the prior was learned with other weights.
        """
        prior = methods.object_prior(method)
        if prior is None:
            return {}
        key_of = {id(variable): key for key, variable in variables.items()}
        inputs = {path: origins[key_of[id(variable)]] for path, variable in prior.inputs.items()}
        # None if this phase starts to learn the prior.
        learned_in = origins.get(key_of[id(prior.direction.weights[0])])
        for path, expected in self._inputs_of_prior.get(learned_in, {}).items():
            if inputs[path] != expected:
                raise UserError(
                    f"{where}.init_from: expected the weights that the object prior was learned with in {learned_in}, "
                    f"got {path} from {inputs[path]} instead of {expected}. Use the parts of {learned_in}, or exclude "
                    f"{path} from training in {inputs[path]}."
                )
        return inputs


def missing_message(key: str, where: str, advice: str) -> str:
    """Returns the error message about a weight, "part/layer/kind", that has no origin."""
    part, _, rest = key.partition("/")
    return (
        f"{where}.init_from: expected weights for the part {part}, got none for {rest}: it is neither trained in this "
        f"phase nor pretrained. {advice}"
    )


def _start_value_message(where: str, phase: str, key: str, shape: tuple) -> str:
    """Returns the error message about a weight, "part/layer/kind", that a phase of 0 epochs leaves at its start value.

    Args:
      where: the config path of what reads the weight.
      phase: the phase.
      key: the weight in this phase.
      shape: of the weight.
    """
    return (
        f"{where}: expected trained or pretrained weights from {phase}, got start values of {key} {list(shape)}: "
        f"config.phase.{phase}.epochs is 0, and config.backbone.options.weights has no such layer of this shape. Set "
        "epochs above 0; or use a weights file that has all layers, with its classes and its config.input.crop "
        "(ImageNet's files have 1,000 classes; those without dense layers have none)."
    )


def _shapes(model) -> tuple:
    return tuple(tuple(weight.shape) for weight in model.weights)
