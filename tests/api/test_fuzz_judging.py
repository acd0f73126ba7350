"""What the fuzzer's finds are taken for, where its rule is not ours."""

from types import SimpleNamespace as Record

import pytest
from schemathesis.openapi.checks import UseAfterFree

from tests.support.schemathesis_run import failures

JOB = "/rest-api/v3/jobs/aa"
FILE = "/rest-api/v3/media/a.png"


@pytest.mark.parametrize(
    ("calls", "wrong"),
    [
        ([("DELETE", JOB, 202), ("DELETE", JOB, 200), ("GET", JOB, 200)], 0),  # cancelled: its record is kept
        ([("DELETE", JOB, 202), ("GET", JOB, 200), ("DELETE", JOB, 204)], 0),
        ([("DELETE", JOB, 202), ("DELETE", JOB, 204), ("GET", JOB, 200)], 1),  # forgotten, and there all the same
        ([("DELETE", FILE, 200), ("GET", FILE, 200)], 1),
    ],
)
def test_a_job_that_was_only_cancelled_may_be_read_and_nothing_else(
    calls: list[tuple[str, str, int]], wrong: int
) -> None:
    interactions = {
        str(number): Record(
            request=Record(method=method, uri=f"http://x{path}?a=b"), response=Record(status_code=status)
        )
        for number, (method, path, status) in enumerate(calls)
    }
    read = next(str(number) for number, (method, _, _) in enumerate(calls) if method == "GET")
    failure = UseAfterFree(operation="", message="still there", free=f"DELETE {calls[0][1]}", usage="")
    check = Record(name="use_after_free", failure_info=Record(failure=failure, code_sample="curl"))
    assert len(list(failures(Record(interactions=interactions, checks={read: [check]})))) == wrong
