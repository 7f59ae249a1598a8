"""The requirements files list exactly the packages that the sources import, each with its reason."""
import ast
import re
import sys
from importlib import metadata

from tests import source_tree

# tensorflow-datasets imports importlib-resources; ruff and import-linter are programs, pytest-xdist extends pytest.
NOT_IMPORTED = {"importlib-resources", "import-linter", "ruff", "pytest-xdist"}
PEERS = {"onnxruntime", "openvino", "tf-keras-vis", "tf2onnx", "torch"}  # benchmarks ask their users to install these
# Not required by the package: of the other stack, or of the extras `grpc`, `many` and `opencv` in pyproject.toml.
OPTIONAL = {"tensorflow-addons", "tensorflow-serving-api", "grpcio", "opencv-python-headless", "ray"}
# Packages of modules that may not be installed.
MODULES = {"tensorflow_serving": "tensorflow-serving-api", "cv2": "opencv-python-headless"}
FOLDERS = {"benchmarks", "configs", "ornet_tf", "serving", "tests"}
OWN = FOLDERS | {path.stem for path in source_tree.ROOT.glob("tests/*.py")}


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def required(path):
    """Returns the packages in a requirements file; each line must end with a reason."""
    lines = [line for line in source_tree.text(path).splitlines() if line and not line.startswith(("#", "-r"))]
    parsed = [re.fullmatch(r"([\w.-]+)(?:\[\w+\])?[~=<>!]=?[^#]*  # [^\s#][^#]+", line) for line in lines]
    assert all(parsed), [line for line, match in zip(lines, parsed) if not match]
    return {normalized(match[1]) for match in parsed}


def imported(*folders):
    """Returns the packages that the Python files in `folders` import."""
    roots = set()
    for path in source_tree.modules(*folders):
        for node in ast.walk(source_tree.tree(path)):
            if isinstance(node, ast.Import):
                roots |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                roots.add(node.module.split(".")[0])
    providers = metadata.packages_distributions()
    roots -= OWN | sys.stdlib_module_names
    return {normalized(providers.get(root, [MODULES.get(root, root)])[0]) for root in roots}


def test_runtime_requirements_are_the_packages_that_the_product_imports():
    found = imported("ornet_tf", "serving", "configs") - OPTIONAL
    assert required("requirements.txt") - NOT_IMPORTED == found


def test_development_requirements_are_the_packages_that_only_tests_and_benchmarks_import():
    only_tests = imported("tests", "benchmarks") - required("requirements.txt") - PEERS
    assert required("requirements-dev.txt") - NOT_IMPORTED == only_tests


def test_legacy_requirements_have_the_same_packages():
    assert required("requirements.txt") | {"tensorflow-addons"} <= required("requirements-addons.txt")
