import pytest

from ornet_tf import errors


@pytest.mark.parametrize(
    ("kind", "also"), [(errors.NotFiniteError, FloatingPointError), (errors.MissingPackageError, ImportError)]
)
def test_a_user_error_can_be_caught_as_its_builtin_type(kind, also):
    for caught in (errors.UserError, ValueError, also):
        with pytest.raises(caught, match="what to do"):
            raise kind("what to do")
