"""Send every kind of field through the stubs, with the protobuf and grpcio of this interpreter. See stub-matrix.sh."""

from __future__ import annotations

import sys
from concurrent import futures

import google.protobuf
import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from stemline.v1 import media_pb2, media_pb2_grpc, models_pb2_grpc, separation_pb2, separation_pb2_grpc


class Echo(separation_pb2_grpc.SeparationServiceServicer):
    """Answer `GetJob` with a full job."""

    def GetJob(self, request: separation_pb2.GetJobRequest, context: grpc.ServicerContext) -> separation_pb2.Job:
        """Return the job of that name."""
        return job(request.name)


def job(name: str) -> separation_pb2.Job:
    """Return a job with a field of every kind: nested, repeated, enum, 64 bit, float, well-known."""
    return separation_pb2.Job(
        name=name,
        spec=separation_pb2.SeparationSpec(
            media="media/x",
            prompt=separation_pb2.Prompt(
                text="Zurück", plus=[separation_pb2.SampleRange(start_sample=1, end_sample=1 << 40)]
            ),
            seed=(1 << 64) - 1,
            channels=separation_pb2.CHANNEL_POLICY_EACH,
            subtract=["media/y", "media/z"],
        ),
        state=separation_pb2.STATE_RUNNING,
        progress=separation_pb2.Progress(fraction=0.25, stage="separating"),
        create_time=Timestamp(seconds=1, nanos=2),
    )


def main() -> None:
    """Round trips through the wire format and through a real call. Raises AssertionError."""
    sent = job("jobs/1")
    assert separation_pb2.Job.FromString(sent.SerializeToString()) == sent
    wait = separation_pb2.WaitJobRequest(name="jobs/1", timeout=Duration(seconds=5))
    assert separation_pb2.WaitJobRequest.FromString(wait.SerializeToString()).timeout.seconds == 5
    part = media_pb2.UploadMediaRequest(data=b"\0\1")
    assert part.WhichOneof("part") == "data"
    server = grpc.server(futures.ThreadPoolExecutor(1))
    echo = Echo()  # type: ignore[abstract]  # only in the stubs: the other methods answer UNIMPLEMENTED
    separation_pb2_grpc.add_SeparationServiceServicer_to_server(echo, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        media_pb2_grpc.MediaServiceStub(channel)
        models_pb2_grpc.ModelServiceStub(channel)
        stub = separation_pb2_grpc.SeparationServiceStub(channel)
        assert stub.GetJob(separation_pb2.GetJobRequest(name="jobs/1"), timeout=30) == sent
    server.stop(None)
    sys.stdout.write(f"stubs work with protobuf {google.protobuf.__version__}, grpcio {grpc.__version__}\n")


if __name__ == "__main__":
    main()
