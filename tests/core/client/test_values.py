"""Values of the client and messages of the server hold the same fields."""

from __future__ import annotations

from dataclasses import fields, replace

from stemline.client.values import JobRequest, job_of, request_message
from stemline.clips import SampleRange
from stemline.prompts import SamplePrompt
from stemline.v1 import separation_pb2 as pb


def test_no_field_of_a_request_is_lost_on_its_way_to_the_server_and_back() -> None:
    prompt = SamplePrompt("dog", (SampleRange(1, 2),), (SampleRange(3, 4),), "media/mask")
    request = JobRequest("media/a", prompt, "noop", 7, "each", "best", ("media/b",), 9, "batch", 3, "why", "one")
    default = JobRequest("", SamplePrompt())
    for field in fields(JobRequest):
        assert getattr(request, field.name) != getattr(default, field.name), f"the example leaves out {field.name}"
    sent = request_message(request)
    job = pb.Job(spec=sent.spec, batch_id=sent.batch_id, priority=sent.priority, request_id=sent.request_id)
    assert sent.reason == "why"  # for the server's log, which alone stores it
    assert job_of(job).request == replace(request, reason="")
