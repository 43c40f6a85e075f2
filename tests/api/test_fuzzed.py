"""Schemathesis sends what the API document allows, and what it does not: no answer is a fault of the server, and every
status and media type is documented."""

import subprocess
import sys

import pytest

from tests.api.conftest import REVIEW_TOKEN, Client


@pytest.mark.slow
def test_no_request_gives_a_fault_of_the_server(api: Client) -> None:
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{api.port}/openapi.json",
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance",
        "--max-examples", "40", "--seed", "1",
        "--phases", "examples,coverage,fuzzing",
        "--header", f"Authorization: Bearer {REVIEW_TOKEN}", "--no-color", "--request-timeout", "60",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert api.get("/api/settings").status == 200
