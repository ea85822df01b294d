"""What else may answer where Prometheus should be."""

import pytest

from neural_hive.connectors.json_api import ApiAway, ApiRefused, JsonApi
from neural_hive.connectors.prometheus import Prometheus
from tests.webhooks.receiver import receiving, says


@pytest.mark.parametrize(
    ("status", "body", "error", "why"),
    [
        (200, b"<html>log in</html>", ApiAway, "not as Prometheus does"),
        (200, b'{"status":"success"}', ApiAway, "answers 200"),
        (
            503,
            b'{"status":"error","errorType":"timeout","error":"query timed out"}',
            ApiAway,
            "query timed out",
        ),
        (401, b"Unauthorized\n", ApiAway, "401"),
        (404, b"404 page not found", ApiAway, "404"),
        (
            200,
            b'{"status":"success","warnings":["a store is away"],"data":{"resultType":"vector","result":[]}}',
            ApiRefused,
            "a store is away",
        ),
        (
            200,
            b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}}',
            ApiRefused,
            "histogram_count",
        ),
        (
            200,
            b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"many"]}]}}',
            ApiRefused,
            "no value that counts",
        ),
    ],
)
def test_other_answers(status: int, body: bytes, error: type[Exception], why: str) -> None:
    with receiving() as receiver:
        receiver.answer = lambda request: says(status, body=body)
        with pytest.raises(error, match=why):
            Prometheus(JsonApi("Prometheus", receiver.url)).query("up", 1_800_000_000_000_000)
