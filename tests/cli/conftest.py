"""Fixtures of the program's tests."""

import pytest
from program import Program


@pytest.fixture
def rewire(tmp_path):
    program = Program(tmp_path)
    yield program
    program.kill_launched()


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A program in whose folder `run` lies a finished training; not to be written to."""
    program = Program(tmp_path_factory.mktemp("trained"))
    program.result = program.train("run").check()
    return program
