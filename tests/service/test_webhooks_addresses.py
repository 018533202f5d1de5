"""What may be called: public https, under the address that was judged; the private network only where it is allowed."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from data.store.outbox import Delivery, Target
from serving.webhooks.addresses import AddressError, allowed_addresses, place_of, reach_of, resolve_name
from serving.webhooks.posting import Line, Outcome, Timing
from serving.webhooks.signing import new_secret
from tests.service.receivers import receiving

if TYPE_CHECKING:
    from pathlib import Path

PUBLIC = "93.184.216.34"
PRIVATE = "127.0.0.1 127.9.9.9 10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 100.127.255.254 ::1 fc00::1 "
PRIVATE += "fdff::1 ::ffff:10.0.0.1 ::ffff:7f00:1 64:ff9b::127.0.0.1"
REFUSED = "0.0.0.0 0.1.2.3 169.254.169.254 169.254.170.2 192.0.0.192 192.0.2.1 192.88.99.1 198.18.0.1 198.51.100.1 "
REFUSED += "203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255 168.63.129.16 100.100.100.200 :: "
REFUSED += "::127.0.0.1 fe80::1 fe80::1%eth0 fec0::1 ff02::1 fd00:ec2::254 fd20:ce::254 2001:db8::1 2001::1 "
REFUSED += "2002:7f00:1::1 3fff::1 100::1 5f00::1 64:ff9b:1::7f00:1 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe "
REFUSED += "::ffff:0:127.0.0.1 2a00:1450::5efe:7f00:1 2a00:1450::200:5efe:10.0.0.1 crm.example"


@pytest.mark.parametrize(
    "address", [PUBLIC, "8.8.8.8", "100.63.255.255", "172.32.0.1", "2606:2800:220:1::1", "::ffff:8.8.8.8"]
)
def test_a_public_address_may_be_called(address: str) -> None:
    assert reach_of(address) == "public"


@pytest.mark.parametrize("address", PRIVATE.split())
def test_a_private_address_is_known_in_every_way_of_writing(address: str) -> None:
    assert reach_of(address) == "private"


@pytest.mark.parametrize("address", REFUSED.split())
def test_an_address_that_nobody_receives_at_is_refused_whatever_is_allowed(address: str) -> None:
    assert reach_of(address) == "refused"


def test_no_address_that_the_standard_library_calls_special_is_public() -> None:
    for block in ("0.0.0.0/5", "96.0.0.0/5", "168.0.0.0/5", "192.0.0.0/5", "224.0.0.0/3"):
        network = ipaddress.ip_network(block)
        for position in range(0, network.num_addresses, network.num_addresses // 4096):
            address = network[position]
            if not address.is_global or address.is_multicast:
                assert reach_of(str(address)) != "public"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "crm.example/hook",
        "ftp://crm.example/hook",
        "file:///etc/passwd",
        "https://",
        "https:///hook",
        "https://user@crm.example/",
        "https://user:word@crm.example/",
        "https://crm.example@10.0.0.1/",
        "https://crm.example/#part",
        "https://crm.example:0/",
        "https://crm.example:99999/",
        "https://crm.example:port/",
        "https://crm.example\\@10.0.0.1/",
        "https://crm example/",
        "https://crm.example/a b",
        "https://crm.example/\r\nhost: 10.0.0.1",
        "https://crm.example/\x00",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://[not]/",
        "https://客户.example/",
        "https://-crm.example/",
        "https://crm..example/",
        "https://" + "a" * 64 + ".example/",
        "https://crm.example/" + "a" * 2000,
    ],
)
def test_what_is_no_plain_https_address_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(AddressError) as caught:
        place_of(url, private=True)
    assert len(url) < 9 or url not in str(caught.value)


def test_http_is_for_the_private_network_alone() -> None:
    with pytest.raises(AddressError, match="not https"):
        place_of("http://10.0.0.1/")
    place = place_of("http://10.0.0.1/", private=True)
    assert allowed_addresses(place, private=True) == ("10.0.0.1",)
    with pytest.raises(AddressError, match="public and not https"):
        allowed_addresses(place, private=True, resolve=lambda *_: [PUBLIC])


def test_private_addresses_are_refused_unless_allowed_and_one_spoils_the_others() -> None:
    place = place_of("https://crm.example/")
    for told in (["10.0.0.1"], [PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC]):
        with pytest.raises(AddressError, match="may not be called"):
            allowed_addresses(place, resolve=lambda *_, told=told: told)
        assert allowed_addresses(place, private=True, resolve=lambda *_, told=told: told) == tuple(told)
    for told in (["169.254.169.254"], [PUBLIC, "169.254.169.254"]):
        with pytest.raises(AddressError, match="may not be called"):
            allowed_addresses(place, private=True, resolve=lambda *_, told=told: told)


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_this_machine_is_known_under_all_its_names(host: str) -> None:
    with pytest.raises(AddressError) as caught:
        allowed_addresses(place_of(f"https://{host}/"))
    assert caught.value.code == "address_refused"


def test_a_name_that_nobody_knows_is_told() -> None:
    with pytest.raises(AddressError) as caught:
        resolve_name("no-such-name.invalid", 443)
    assert caught.value.code == "name_unknown"
    with pytest.raises(AddressError, match="not known"):
        allowed_addresses(place_of("https://crm.example/"), resolve=lambda *_: [])


def delivery(url: str) -> Delivery:
    target = Target("t1", url, new_secret(), ("grade_changed",), (), 0)
    return Delivery("d1", target, "ping", {}, 0, "claim", 0)


def posted(url: str, resolve: Callable[[str, int], Sequence[str]], *, private: bool, context: object = None) -> Outcome:
    sent = delivery(url)
    timing = Timing(1.0, 1.0, 2.0)
    with Line(sent.target, private=private, resolve=resolve, context=context, timing=timing) as line:  # type: ignore[arg-type]
        return line.post(sent)


def test_a_name_that_turns_to_this_machine_after_it_was_checked_is_not_called() -> None:
    answers = [[PUBLIC], ["127.0.0.1"]]
    with receiving() as receiver:
        url = f"https://crm.example:{receiver.port}/hook"
        resolve = lambda *_: answers.pop(0)  # noqa: E731 - a name server that changes its mind
        assert allowed_addresses(place_of(url), resolve=resolve) == (PUBLIC,)
        outcome = posted(url, resolve, private=False)
    assert (outcome.status, receiver.got, answers) == ("address_refused", [], [])


def test_the_address_that_was_judged_is_called_under_the_name_of_the_url() -> None:
    asked = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    with receiving() as receiver:
        url = f"http://crm.invalid:{receiver.port}/hook?team=7"
        sent = delivery(url)
        with Line(sent.target, private=True, resolve=resolve) as line:
            outcomes = [line.post(sent) for _ in range(3)]
    assert [each.delivered for each in outcomes] == [True] * 3
    assert {each.headers["host"] for each in receiver.got} == {f"crm.invalid:{receiver.port}"}
    assert receiver.got[0].path == "/hook?team=7"
    # One connection for the messages of a turn, so one look-up.
    assert asked == [("crm.invalid", receiver.port)]


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy, receiving() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert posted(receiver.url, resolve_name, private=True).delivered
    assert (len(receiver.got), proxy.got) == (1, [])


def test_a_port_where_nobody_listens_is_told() -> None:
    with receiving() as receiver:
        url = receiver.url
    assert posted(url, resolve_name, private=True).status == "unreachable"


def test_what_is_no_http_is_told() -> None:
    with receiving(lambda handler, _: handler.wfile.write(b"SSH-2.0-OpenSSH_9\r\n\r\n") and None) as receiver:
        assert posted(receiver.url, resolve_name, private=True).status == "protocol_error"


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server of a name presents, and what trusts it."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    signed = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = signed.public_bytes(serialization.Encoding.PEM)
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / f"{name}.pem"
    path.write_bytes(text + key.private_bytes(serialization.Encoding.PEM, *plain))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=text.decode())


def test_a_certificate_has_to_be_of_the_name_in_the_url_and_of_a_known_authority(tmp_path: Path) -> None:
    server, trusting = certificate(tmp_path, "crm.invalid")
    names: list[str | None] = []
    server.sni_callback = lambda _, name, __: names.append(name)
    here = lambda *_: ["127.0.0.1"]  # noqa: E731 - a name server
    with receiving(context=server) as receiver:
        right, wrong = (f"https://{name}:{receiver.port}/" for name in ("crm.invalid", "other.invalid"))
        found = [
            posted(right, here, private=True, context=trusting).status,
            posted(wrong, here, private=True, context=trusting).status,
            posted(right, here, private=True).status,
        ]
    assert found == ["204", "tls_failed", "tls_failed"]
    assert names == ["crm.invalid", "other.invalid", "crm.invalid"]
    assert len(receiver.got) == 1
