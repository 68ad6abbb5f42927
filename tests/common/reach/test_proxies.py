"""What goes by a proxy follows the environment, and this machine is never reached by one."""

from __future__ import annotations

import pytest

from silosynth.common.reach.proxies import LOOPBACK, past_proxies, proxy_to


@pytest.mark.parametrize(
    ("said", "listed"),
    [
        ({}, list(LOOPBACK)),
        ({"NO_PROXY": "a.example, b.example"}, ["a.example", "b.example", *LOOPBACK]),
        ({"no_proxy": "a.example", "NO_PROXY": "ignored"}, ["a.example", *LOOPBACK]),
        ({"NO_PROXY": "localhost"}, ["localhost", "127.0.0.1", "::1"]),
        ({"NO_PROXY": "*"}, ["*"]),
    ],
)
def test_this_machine_is_never_reached_by_a_proxy(said: dict[str, str], listed: list[str]) -> None:
    assert past_proxies(said) == dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(listed))


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("url", ["http://proxy.example:3128", "proxy.example:3128"])
def test_a_proxy_is_found_and_spared_as_the_environment_says(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert proxy_to("superlink.example") is None
    monkeypatch.setenv("HTTPS_PROXY", url)
    found = proxy_to("superlink.example")
    assert found is not None
    assert (found.host, found.port, dict(found.headers)) == ("proxy.example", 3128, {})
    monkeypatch.setenv("NO_PROXY", ".example")
    assert proxy_to("superlink.example") is None
    assert proxy_to("other.test") is not None


def test_a_proxy_is_shown_the_word_that_its_address_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:p%40ss@proxy.example")
    found = proxy_to("superlink.example")
    assert found is not None
    assert found.port == 80
    assert found.headers == {"Proxy-Authorization": "Basic dXNlcjpwQHNz"}
