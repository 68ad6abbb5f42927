"""The socket passes bytes on unchanged, waits for a gateway that restarts, and tells no secrets."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2

from silosynth.client.rpc import Caller, RemoteGateway, RpcServer, gateway_service
from silosynth.common.errors import (
    CapExceeded,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidArgument,
)
from tests.support.patience import paced, patience

SECRET = "zebra-7731"
LIMIT = 1_000_000


class Echo:
    """A gateway that answers with what it was asked, and fails or dawdles when told to."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def identify(self, challenge: bytes) -> bytes:
        return b"identity of " + challenge

    def propose(self, *, plan: bytes, receipts: Sequence[bytes] = ()) -> bytes:
        return b"|".join((plan, *receipts))

    def answer(self, *, plan: bytes, request: bytes) -> bytes:
        if request == b"fail":
            raise ValueError(f"the value {SECRET}")
        if request == b"wait":
            self.entered.set()
            self.go_on.wait(patience(20))
        return plan + request

    def deliver(self, bundle: bytes) -> bytes:
        return bundle[::-1]


@pytest.fixture
def socket() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rpc-") as directory:
        yield Path(directory) / "s"


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.go_on.set()


def _serve(echo: Echo, socket: Path, failures: list[str] | None = None) -> RpcServer:
    said = [] if failures is None else failures
    return RpcServer(
        gateway_service(echo),  # type: ignore[arg-type]  # as loose as a test may be
        socket=socket,
        message_bytes=LIMIT,
        failed=lambda method, error: said.append(f"{method} {type(error).__name__}"),
    )


def test_every_call_arrives_as_it_was_made_and_comes_back_as_answered(
    echo: Echo, socket: Path
) -> None:
    server = _serve(echo, socket)
    with RemoteGateway(socket, timeout_seconds=patience(10)) as gateway:
        assert gateway.identify(b"\x00\xff") == b"identity of \x00\xff"
        assert gateway.propose(plan=b"plan", receipts=(b"a", b"b")) == b"plan|a|b"
        assert gateway.propose(plan=b"plan") == b"plan"
        assert gateway.answer(plan=b"\x01" * 1000, request=b"\x02") == b"\x01" * 1000 + b"\x02"
        assert gateway.deliver(b"abc") == b"cba"
    server.stop(grace_seconds=0).wait()


def test_the_text_of_a_failure_does_not_pass_the_socket(echo: Echo, socket: Path) -> None:
    failures: list[str] = []
    server = _serve(echo, socket, failures)
    channel = grpc.insecure_channel(f"unix:{socket}")
    call = channel.unary_unary("/silosynth.gateway.v1.Gateway/Measure")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\x12\x04fail", timeout=patience(10))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert SECRET not in str(caught.value)
    assert failures == ["Measure ValueError"]
    with (
        RemoteGateway(socket, timeout_seconds=patience(10)) as gateway,
        pytest.raises(ConnectionFailed),
    ):
        gateway.answer(plan=b"", request=b"fail")
    channel.close()
    server.stop(grace_seconds=0).wait()


def test_bytes_that_are_no_message_are_refused_and_not_logged(
    echo: Echo, socket: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = _serve(echo, socket)
    channel = grpc.insecure_channel(f"unix:{socket}")
    call = channel.unary_unary("/silosynth.gateway.v1.Gateway/Measure")
    with pytest.raises(grpc.RpcError) as caught:
        call(SECRET.encode(), timeout=patience(10))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    channel.close()
    server.stop(grace_seconds=0).wait()
    assert SECRET not in "".join(capfd.readouterr())


def test_a_call_waits_for_a_gateway_that_restarts(echo: Echo, socket: Path) -> None:
    first = _serve(echo, socket)
    with RemoteGateway(
        socket, timeout_seconds=patience(20), restart_seconds=patience(20)
    ) as gateway:
        assert gateway.identify(b"1") == b"identity of 1"
        first.stop(grace_seconds=0).wait()
        later: list[RpcServer] = []
        timer = threading.Timer(1.0, lambda: later.append(_serve(echo, socket)))
        timer.start()
        start = time.monotonic()
        assert gateway.identify(b"2") == b"identity of 2"
        assert time.monotonic() - start > 0.9
        timer.join()
    later[0].stop(grace_seconds=0).wait()


def test_a_gateway_that_ends_in_the_middle_of_a_long_answer_is_waited_for(
    echo: Echo, socket: Path
) -> None:
    first, answers, wait = _serve(echo, socket), list[bytes](), paced(3)
    with RemoteGateway(socket, timeout_seconds=patience(60), restart_seconds=wait) as gateway:

        def ask() -> None:
            answers.append(gateway.answer(plan=b"a", request=b"wait"))

        thread = threading.Thread(target=ask)
        thread.start()
        assert echo.entered.wait(patience(10))
        time.sleep(wait + 0.5)
        first.stop(grace_seconds=0).wait(patience(5))
        echo.go_on.set()
        second = _serve(echo, socket)
        thread.join()
    assert answers == [b"await"]
    second.stop(grace_seconds=0).wait()


def test_a_gateway_that_is_not_there_is_named_once_the_time_is_up(socket: Path) -> None:
    with (
        RemoteGateway(socket, restart_seconds=0.5) as gateway,
        pytest.raises(ConnectionFailed, match=str(socket)),
    ):
        gateway.identify(b"")


def test_a_gateway_that_takes_too_long_is_given_up(echo: Echo, socket: Path) -> None:
    server = _serve(echo, socket)
    with RemoteGateway(socket, timeout_seconds=0.5) as gateway, pytest.raises(DeadlineExceeded):
        gateway.answer(plan=b"", request=b"wait")
    echo.go_on.set()
    server.stop(grace_seconds=patience(5)).wait()


def test_a_message_above_the_limit_is_refused(echo: Echo, socket: Path) -> None:
    server = _serve(echo, socket)
    with RemoteGateway(socket, timeout_seconds=patience(10)) as gateway:
        assert len(gateway.deliver(b"x" * LIMIT)) == LIMIT
        with pytest.raises(CapExceeded):
            gateway.deliver(b"x" * (LIMIT + 100_000))
    server.stop(grace_seconds=0).wait()


def test_stopping_finishes_the_call_at_hand(echo: Echo, socket: Path) -> None:
    server = _serve(echo, socket)
    answers: list[bytes] = []
    with RemoteGateway(
        socket, timeout_seconds=patience(20), restart_seconds=patience(20)
    ) as gateway:
        thread = threading.Thread(
            target=lambda: answers.append(gateway.answer(plan=b"a", request=b"wait"))
        )
        thread.start()
        assert echo.entered.wait(patience(10))
        stopped = server.stop(grace_seconds=patience(20))
        echo.go_on.set()
        thread.join()
    assert stopped.wait(patience(20))
    assert answers == [b"await"]


def test_health_says_serving_for_the_gateway(echo: Echo, socket: Path) -> None:
    server = _serve(echo, socket)
    caller = Caller(socket, service="grpc.health.v1.Health", timeout_seconds=patience(10))
    request = health_pb2.HealthCheckRequest(service="silosynth.gateway.v1.Gateway")
    reply = caller.call("Check", request, health_pb2.HealthCheckResponse)
    assert reply.status == health_pb2.HealthCheckResponse.SERVING
    caller.close()
    server.stop(grace_seconds=0).wait()


def test_a_socket_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="longer than 107"):
        RemoteGateway(tmp_path / ("x" * 120))
