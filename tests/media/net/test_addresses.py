"""Tests of media/net/addresses.py: which addresses a source may have."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.faults import Fault
from media.net.addresses import DENIED, AddressPolicy


def allowed(policy: AddressPolicy, address: str) -> bool:
    try:
        policy.check(address)
    except Fault as fault:
        return (fault.code, fault.phase) != ("source-forbidden", "resolving")
    return True


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "169.254.0.1",
        "169.254.169.254",
        "fe80::1",
        "fe80::1%eth0",
        "100.100.100.200",
        "fd00:ec2::254",
        "fd20:ce::254",
        "224.0.0.1",
        "239.255.255.255",
        "ff02::1",
        "255.255.255.255",
        "127.0.0.1",
        "127.255.0.9",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0.0.0.0",
        "64:ff9b::a9fe:a9fe",
    ],
)
def test_no_camera_lives_at(address: str) -> None:
    assert not allowed(AddressPolicy(), address)


@pytest.mark.parametrize("address", ["192.168.1.64", "10.0.0.5", "172.16.3.4", "203.0.113.9", "2001:db8::9", "fd12::1"])
def test_cameras_live_at(address: str) -> None:
    assert allowed(AddressPolicy(), address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_allowed_only_when_the_policy_says_so(address: str) -> None:
    assert allowed(AddressPolicy(loopback=True), address)
    assert not allowed(AddressPolicy(loopback=False), address)


def test_loopback_allows_nothing_else() -> None:
    assert not allowed(AddressPolicy(loopback=True), "169.254.169.254")
    assert not allowed(AddressPolicy(loopback=True), "0.0.0.0")


def test_settings_deny_on_top_of_the_built_in_networks() -> None:
    policy = AddressPolicy.parse(deny=["10.0.0.0/8", "2001:db8::/32"])
    assert not allowed(policy, "10.1.2.3")
    assert not allowed(policy, "::ffff:10.1.2.3")
    assert not allowed(policy, "2001:db8::1")
    assert not allowed(policy, "169.254.1.1")
    assert allowed(policy, "192.168.1.1")


def test_allow_wins_over_every_denial() -> None:
    policy = AddressPolicy.parse(deny=["10.0.0.0/8"], allow=["10.9.0.0/16", "169.254.7.7", "127.0.0.1"])
    assert allowed(policy, "10.9.1.1")
    assert allowed(policy, "169.254.7.7")
    assert allowed(policy, "127.0.0.1")
    assert not allowed(policy, "10.8.1.1")
    assert not allowed(policy, "127.0.0.2")


@pytest.mark.parametrize("text", ["10.0.0.1/8", "camera.local", "10.0.0.0/33", ""])
def test_a_wrong_network_in_the_settings_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=text or "does not appear"):
        AddressPolicy.parse(deny=[text])


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "0x7f000001", "[::1]", "1.2.3.4.5"])
def test_what_is_no_literal_address_is_refused(text: str) -> None:
    assert not allowed(AddressPolicy(loopback=True), text)


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_judged_as_the_address_it_stands_for(address: object) -> None:
    policy = AddressPolicy.parse(deny=["64.0.0.0/2"])
    assert allowed(policy, str(address)) == allowed(policy, f"::ffff:{address}")


@given(st.sampled_from(DENIED).flatmap(lambda network: st.ip_addresses(network=str(network))))
def test_every_address_of_a_denied_network_is_refused_and_can_be_allowed(address: object) -> None:
    text = str(ip_address(str(address)))
    assert not allowed(AddressPolicy(loopback=True), text)
    assert allowed(AddressPolicy.parse(allow=[text]), text)
