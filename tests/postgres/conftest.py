"""A pair that the tests of one module share."""

from collections.abc import Iterator

import pytest

from haop.operations.cluster import Cluster
from tests import support


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    with support.folder() as folder, support.running(support.make_project(folder / "shop")) as cluster:
        yield cluster
