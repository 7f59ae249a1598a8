"""The rules that BUILD loads from rules_python, for Bazel versions that have them built in: see WORKSPACE."""

py_binary = native.py_binary
py_library = native.py_library
py_test = native.py_test
