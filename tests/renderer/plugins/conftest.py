"""One browser for all tests of caption plugins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from own_thread import in_own_thread
from plugin_page import PluginPage, open_plugin_page


@pytest.fixture(scope="session")
def plugin_page(node_modules: Path) -> Iterator[PluginPage]:
    with in_own_thread(open_plugin_page()) as page:
        yield page


@pytest.fixture
def page(plugin_page: PluginPage) -> Iterator[PluginPage]:
    """The page; a warning, an error or a request that was refused fails the test."""
    plugin_page.problems.clear()
    yield plugin_page
    assert plugin_page.problems == []
