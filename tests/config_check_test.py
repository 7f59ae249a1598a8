import pytest
from ml_collections import ConfigDict

from ornet_tf.config_check import validate
from ornet_tf.errors import UserError
from tests import tiny_experiment, tiny_prior


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("dataset.name", "toybird", r"config.dataset.name: no plug-in 'toybird'.*toybirds"),
        ("dataset.options.classes_count", 3, r"config.dataset.options.classes_count: unknown option"),
        ("input.crop", 99, r"config.input.crop: expected at most resize = 36, got 99"),
        ("input.resize", 0, r"config.input.resize: expected a positive number, got 0"),
        ("input.evaluation_view", "all", r"input.evaluation_view: expected one of centre_crop, whole, got 'all'"),
        ("input.broken_images", "ignore", r"config.input.broken_images: expected one of stop, skip, got 'ignore'"),
        ("phase_order", ("evaluator", "stage_three"), r"config.phase_order: no config.phase.stage_three"),
        ("phase_order", ("stage_two",), r"init_from.*earlier phase \(none\)"),
        ("phase.stage_two.init_from.lower", "stage_one", r"expected 'phase.part'"),
        ("phase.stage_one.batch_size", 0, r"config.phase.stage_one.batch_size: expected a positive"),
        ("phase.stage_one.schedule", "linear", r"schedule: expected one of cosine, constant"),
        ("phase.stage_one.losses", ConfigDict(), r"config.phase.stage_one.losses: expected at least one term"),
        ("phase.stage_two.losses.entropy.plugin", "entrpy", r"losses.entropy.plugin: no plug-in 'entrpy'.*'entropy'"),
        ("phase.stage_two.losses.entropy.options.sgma", 1, r"losses.entropy.options.sgma: unknown option"),
        ("evaluation.report_rows", ("stage_nine",), r"'stage_nine' is neither in phase_order nor a row"),
        ("evaluation.own_classes", ("stage_nine",), r"'stage_nine' is neither in phase_order nor a row"),
        ("evaluation.threshold", 1.5, r"config.evaluation.threshold: expected a number between 0 and 1"),
        ("evaluation.box_rule", "loose", r"config.evaluation.box_rule: expected one of tight, largest"),
        ("evaluation.metrics", ("corlok",), r"evaluation.metrics: no plug-in 'corlok'.*'corloc'"),
        ("evaluation.metrics", (), r"config.evaluation.metrics: expected at least one, got none"),
        ("evaluation.metric_options.wsol_v1", {"intervall": 1}, r"wsol_v1.intervall: unknown option.*'interval'"),
        ("evaluation.metric_options.wsol", {}, r"no plug-in 'wsol' in metrics"),
        ("evaluation.bootstrap_samples", -1, r"config.evaluation.bootstrap_samples: expected at least 0, got -1"),
        ("evaluation.threshold_boxes", "pseudo", r"threshold_boxes: expected 'ground_truth' or a row .* got 'pseudo'"),
        ("evaluation.threshold_boxes", "cam", r"evaluation.threshold_boxes: expected 'ground_truth' or .* got 'cam'"),
        ("evaluation.threshold_boxes", "object_prior", r"threshold_boxes: .* no phase has an object prior, got 'obj"),
        ("evaluation.cases", -1, r"config.evaluation.cases: expected at least 0, got -1"),
        ("export.threshold", "best", r"config.export.threshold: expected one of fixed, chosen, got 'best'"),
        ("export.optimize_for", "tpu", r"config.export.optimize_for: expected one of auto, cpu, gpu, got 'tpu'"),
        ("export.row", "stage_nine", r"'stage_nine' is neither in phase_order nor a row"),
        ("export.max_boxes", 0, r"config.export.max_boxes: expected a positive number, got 0"),
        ("export.split_boxes", True, r"split_boxes = False with .*'tight', got 1 and True.*largest"),
        ("export.max_boxes", 3, r"max_boxes = 1 and .*'tight', got 3 and False.*largest"),
        ("export.min_box_score", 1.5, r"config.export.min_box_score: expected a number in 0..1, got 1.5"),
        ("export.min_box_score", float("nan"), r"config.export.min_box_score: expected a number in 0..1, got nan"),
        ("export.max_bytes", 0, r"config.export.max_bytes: expected a positive number, got 0"),
        ("input.resiz", 64, r"config.input.resiz: unknown option; choose from .* Did you mean 'resize'"),
        ("datset", 1, r"config.datset: unknown option; .* Did you mean 'dataset'"),
        ("input.resize", "64", r"config.input.resize: expected a whole number, got '64'"),
        ("input.horizontal_flip", "yes", r"config.input.horizontal_flip: expected True or False, got 'yes'"),
        ("evaluation.threshold", None, r"config.evaluation.threshold: expected a number, got None"),
        ("evaluation.report_rows", "cam", r"config.evaluation.report_rows: expected a list or tuple, got 'cam'"),
        ("phase.stage_one.epochs", "3", r"config.phase.stage_one.epochs: expected a number, got '3'"),
        ("phase.stage_one.batch_size", 8.0, r"config.phase.stage_one.batch_size: expected a whole number, got 8.0"),
        ("phase.stage_one.trainable", "generator/", r"stage_one.trainable: expected a list or tuple, got 'generator/'"),
        ("phase.stage_two.losses.area.weight", "1", r"losses.area.weight: expected a number, got '1'"),
        ("phase.stage_two.losses.area.wieght", 1.0, r"losses.area.wieght: unknown option; .* Did you mean 'weight'"),
        ("phase.stage_two.losses.entropy.options.mu", "a", r"entropy.options.mu: expected a number, got 'a'"),
        ("phase.evaluator.options.mask_probability", "x", r"options.mask_probability: expected a number, got 'x'"),
        ("phase.stage_two.options.erasing", 3, r"stage_two.options.erasing: expected a string or None, got 3"),
        ("evaluation.row.cam.options.classes", 0, r"row.cam.options.classes: expected a string, got 0"),
        ("dataset.options.seed", "0", r"config.dataset.options.seed: expected a whole number, got '0'"),
        ("backbone.options.blocks", 3, r"config.backbone.options.blocks: expected a list or tuple, got 3"),
        ("generator.depth", None, r"config.generator.depth: expected a whole number, got None"),
        ("object_prior.threshold", 1.0, r"object_prior.threshold: expected at least 0 and below 1, got 1.0"),
        ("seed", -1, r"config.seed: expected a whole number from 0 to 2147483647, got -1"),
        ("phase", {"evaluator": 3}, r"config.phase.evaluator: expected a dictionary, got 3"),
        ("phase.stage_two.losses.area", 3, r"config.phase.stage_two.losses.area: expected a dictionary, got 3"),
        ("evaluation.row.cam", 3, r"config.evaluation.row.cam: expected a dictionary, got 3"),
        ("evaluation.metric_options.wsol_v1", 3, r"metric_options.wsol_v1: expected a dictionary, got 3"),
        ("phase_order", (), r"config.phase_order is empty: expected at least one of evaluator, stage_one, stage_two"),
        ("phase_order", ("evaluator", "evaluator"), r"config.phase_order: expected .* once, got 'evaluator' twice"),
        ("phase_order", (3,), r"config.phase_order: expected strings, got 3 among them"),
        ("evaluation.report_rows", (["cam"],), r"evaluation.report_rows: expected strings, got \['cam'\] among them"),
        ("evaluation.own_classes", (3,), r"config.evaluation.own_classes: expected strings, got 3 among them"),
        ("evaluation.metrics", (3,), r"config.evaluation.metrics: expected strings, got 3 among them"),
        ("evaluation.gallery_images", -1, r"config.evaluation.gallery_images: expected at least 0, got -1"),
        ("training.summary_images", -1, r"config.training.summary_images: expected at least 0, got -1"),
        ("training.steps_per_loop", 0, r"config.training.steps_per_loop: expected a positive number, got 0"),
        ("training.keep_checkpoints", 0, r"config.training.keep_checkpoints: expected a positive number, got 0"),
        ("generator.foo", 1, r"config.generator.foo: unknown option"),
        ("generator.base_width", 0, r"config.generator.base_width: expected a whole number from 1 to 1048576, got 0"),
        ("generator.depth", 0, r"config.generator.depth: expected a whole number from 1 to 20, got 0"),
        ("generator.depth", -1, r"config.generator.depth: expected a whole number from 1 to 20, got -1"),
        ("generator.growth", -2.0, r"config.generator.growth: expected a positive number, got -2.0"),
        ("generator.growth", 1e300, r"config.generator.growth: expected base_width .* got 4 \* 1e\+300 \*\* 2"),
        ("generator.growth", 0.1, r"config.generator.growth: expected base_width \* growth .* got 4 \* 0.1 \*\* 2"),
        ("generator.logit_scale", float("nan"), r"config.generator.logit_scale: expected a positive number, got nan"),
        ("phase.stage_one.generator", {"foo": 1}, r"config.phase.stage_one.generator.foo: unknown option"),
        ("phase.stage_one.generator", {"num_classes": 3}, r"stage_one.generator.num_classes: unknown option"),
        ("phase.stage_one.generator", {"depth": "two"}, r"one.generator.depth: expected a whole number, got 'two'"),
        ("phase.stage_one.generator", {"depth": 0}, r"config.phase.stage_one.generator.depth: expected .* got 0"),
        ("evaluation.row.cam.generator", {"foo": 1}, r"config.evaluation.row.cam.generator.foo: unknown option"),
        ("backbone.options.image_size", 32, r"config.backbone.options.image_size: unknown option"),
        ("phase.stage_one.warmup_steps", -5, r"config.phase.stage_one.warmup_steps: expected at least 0, got -5"),
        ("phase.stage_one.epochs", float("inf"), r"config.phase.stage_one.epochs: expected at least 0, got inf"),
        ("phase.stage_one.epochs", float("nan"), r"config.phase.stage_one.epochs: expected at least 0, got nan"),
        ("phase.stage_one.learning_rate", float("inf"), r"one.learning_rate: expected a positive number, got inf"),
        ("phase.stage_one.trainable", (1,), r"config.phase.stage_one.trainable: expected strings, got 1 among them"),
        ("phase.stage_one.trainable", ("(",), r"stage_one.trainable: expected a regular expression, got '\(': missing"),
        ("phase.stage_one.rate_factors", ("upper/",), r"rate_factors: expected pairs .*, got 'upper/' among them"),
        ("phase.stage_one.rate_factors", (("a", "x"),), r"rate_factors: expected pairs .*, got \('a', 'x'\) among"),
        ("phase.stage_one.rate_factors", (("a", -1),), r"rate_factors: expected pairs .*, got \('a', -1\) among them"),
        ("phase.stage_one.rate_factors", ((3, 1.0),), r"stage_one.rate_factors: expected strings, got 3 among them"),
        ("phase.stage_one.rate_factors", (("(", 1.0),), r"stage_one.rate_factors: expected a regular expression"),
        ("phase.stage_two.init_from.lower", 3, r"stage_two.init_from.lower: expected 'phase.part' .*, got 3"),
        ("phase.stage_two.losses.area.weight", float("nan"), r"losses.area.weight: expected a finite number, got nan"),
        ("phase.stage_two.losses.area.inputs", (), r"area.inputs: expected .* for each of activation_map; got none"),
        ("phase.stage_two.losses.area.inputs", (3,), r"losses.area.inputs: expected strings, got 3 among them"),
        (
            "phase.stage_one.losses.classification.inputs",
            ("logits", "label", "key"),
            r"config.phase.stage_one.losses.classification.inputs: expected .* logits, labels; got logits, label, key",
        ),
        ("phase.evaluator.options.mask_cells", 0, r"phase.evaluator.options.mask_cells: expected at least 1, got 0"),
        ("phase.evaluator.options.mask_probability", 2.0, r"evaluator.options.mask_probability: expected 0..1, got 2"),
        ("phase.stage_two.options.erasing", "atentive", r"two.options.erasing: no plug-in 'atentive'.*'attentive'"),
        ("phase.stage_two.options.erasing_options", {"foo": 1}, r"two.options.erasing_options.foo: unknown option"),
        ("phase.stage_one.options.object_prior", True, r"stage_one.options.object_prior: expected freeze_lower = True"),
        ("evaluation.row.cam.options.classes", "all", r"row.cam.options.classes: expected one of predicted, label"),
        ("export.max_pixels", -1, r"config.export.max_pixels: expected a positive number, got -1"),
    ],
)
def test_a_wrong_option_is_refused_with_its_path(path, value, message):
    config = tiny_experiment.get_config()
    section = config
    *parents, key = path.split(".")
    for name in parents:
        section = section[name]
    # A configuration file can replace whole sections.
    with config.unlocked(), config.ignore_type():
        section[key] = value
    with pytest.raises(UserError, match=message):
        validate(config)


def test_several_boxes_are_allowed_with_the_rule_largest():
    config = tiny_experiment.get_config()
    config.evaluation.box_rule = "largest"
    config.export.update({"max_boxes": 3, "split_boxes": True})
    validate(config)


def test_pseudo_boxes_need_images_to_choose_thresholds_on():
    config = tiny_prior.get_config()
    config.evaluation.threshold_boxes = "object_prior"
    validate(config)
    config.evaluation.threshold_split = ""
    with pytest.raises(UserError, match="threshold_boxes: expected config.evaluation.threshold_split to name a split"):
        validate(config)
