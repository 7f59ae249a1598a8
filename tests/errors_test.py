import pytest

from ornet_tf import errors


@pytest.mark.parametrize(
    ("kind", "also"), [(errors.NotFiniteError, FloatingPointError), (errors.MissingPackageError, ImportError)]
)
def test_an_error_that_a_user_can_mend_is_caught_by_its_python_name_as_well(kind, also):
    for caught in (errors.UserError, ValueError, also):
        with pytest.raises(caught, match="what to do"):
            raise kind("what to do")
