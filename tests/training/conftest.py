"""One TensorFlow for the whole process: importing it takes ten seconds."""

import sys
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def tensorflow() -> ModuleType:
    from training.preparation import tensorflow_ready

    tensorflow_ready()
    return sys.modules["tensorflow"]
