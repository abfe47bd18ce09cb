"""A pair that the tests of one module share, one on each runtime."""

from collections.abc import Iterator

import pytest

from haop.operations.cluster import Cluster
from tests import support


@pytest.fixture(scope="module")
def shared(runtime: str) -> Iterator[Cluster]:
    with (
        support.folder() as folder,
        support.running(support.make_project(folder / "shop", runtime=runtime)) as cluster,
    ):
        yield cluster
