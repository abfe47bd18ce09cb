"""Everything here needs a Docker engine and Compose."""

import pytest

from tests.conftest import require_compose


@pytest.fixture(autouse=True, scope="session")
def _containers() -> None:
    require_compose()
