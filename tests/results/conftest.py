import pytest

from tests.results.cells import write_cells


@pytest.fixture
def evaluations(tmp_path):
    folder = tmp_path / "evaluations"
    write_cells(folder)
    return folder
