"""What a portal's words mean: its wishes, its limits, its pages for people, its redirects; and what of them we show."""

import re
import ssl
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.effort import assert_linear
from tests.support.sampling import examples
from zoning_assets.errors import FeedRefused
from zoning_assets.http.rate_limit import StatedLimit
from zoning_assets.http.response_checks import (
    host_of,
    html_page,
    redirect_target,
    retry_after_s,
    stated_limit,
    untrusted,
    wants_login,
    without_secrets,
)

NOW = datetime(2025, 6, 4, 12, 0, tzinfo=UTC)  # a Wednesday


@pytest.mark.parametrize("text", ["", "²", "-5", "1.5", "Wed, 04 Jun 2025 12:00:09 -0000", "Wed, 99 Jun"])
def test_an_odd_retry_after_is_no_hint(text):
    """What cannot be read as a wait is none, and no error."""
    assert retry_after_s({"Retry-After": text}, NOW) is None


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://ann:pa55@maps.example.org:8443/a/b?token=s#x", "https://maps.example.org:8443/a/b"),
        ("https://maps.example.org/a?sig=s", "https://maps.example.org/a"),
        ("http://[::1]:80/a", "http://[::1]:80/a"),
        ("http://host:port/a?token=s", "http://host:port/a"),
    ],
)
def test_an_address_in_a_message_is_host_and_path(url, plain):
    """An address fit for messages has no user, password, query or fragment, however odd it is."""
    assert without_secrets(url) == plain


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Maps.Example.org/a", "maps.example.org"),
        ("https://maps.example.org:443/a", "maps.example.org"),
        ("http://ann:pa55@maps.example.org:80/a", "maps.example.org"),
        ("https://maps.example.org:8443/a", "maps.example.org:8443"),
        ("http://[::1]:8080/a", "[::1]:8080"),
    ],
)
def test_a_host_has_one_budget(url, host):
    """However an address spells its host, the budget is that of the server behind it."""
    assert host_of(url) == host


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, None),
        (
            {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "7", "X-RateLimit-Reset": "30"},
            StatedLimit(100, 7, 30.0),
        ),
        ({"X-Rate-Limit-Limit": "100", "X-Rate-Limit-Remaining": "0"}, StatedLimit(100, 0)),
        (
            {"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": "1749038460"},
            StatedLimit(None, 7, 60.0),
        ),  # epoch seconds
        ({"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": "1749038460000"}, StatedLimit(None, 7, 60.0)),
        ({"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": "2025-06-04T12:01:00+00:00"}, StatedLimit(None, 7, 60.0)),
        ({"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": "2025-06-04 12:01:00"}, StatedLimit(None, 7, 60.0)),
        ({"RateLimit-Limit": "100, 100;w=60", "RateLimit-Remaining": "99"}, StatedLimit(100, 99, None, 60.0)),
        ({"RateLimit": "limit=100, remaining=50, reset=5"}, StatedLimit(100, 50, 5.0)),
        (
            {"RateLimit": '"default";r=50;t=30', "RateLimit-Policy": '"default";q=100;w=60'},
            StatedLimit(100, 50, 30.0, 60.0),
        ),
    ],
)
def test_a_stated_limit_is_understood(headers, said):
    """The usual headers and the drafts of the standard say how many, what is left, until when and in what window."""
    assert stated_limit(headers, NOW) == said


@pytest.mark.parametrize("wrong", ["", "-1", "many", "1e9", "NaN", "99999999999999999999", "²", "7 requests"])
def test_an_odd_limit_is_as_if_not_there(wrong):
    """A number that is none, or that cannot be, teaches nothing."""
    assert stated_limit({"X-RateLimit-Limit": wrong, "X-RateLimit-Remaining": wrong}, NOW) is None
    assert stated_limit({"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": wrong}, NOW) == StatedLimit(None, 7)


@pytest.mark.parametrize("reset", ["1749030000", "100000", "9999999999", "2030-01-01", "2001-01-01"])
def test_a_window_that_ended_or_never_ends_is_none(reset):
    """A reset in the past, or more than a day ahead, is no hint."""
    assert stated_limit({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}, NOW) == StatedLimit(None, 0)


def test_a_limit_of_nothing_is_no_limit():
    """Nobody may be asked zero times; such a limit is a mistake."""
    assert stated_limit({"X-RateLimit-Limit": "0"}, NOW) is None


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            b"<html><head><title>Request Rejected</title></head><body>Your support ID is 7</body></html>",
            "Request Rejected",
        ),
        (b"\xef\xbb\xbf\r\n<!DOCTYPE html>\n<title>\n Attention   Required! </title>", "Attention Required!"),
        (b"<HTML><BODY><H1>Access Denied</H1> You &amp; yours", "Access Denied You & yours"),
        (b"<html><script>var secret = 1</script>Down for maintenance", "Down for maintenance"),
        (b"<html><title>Gone to https://ann:pa55@x.org/a?token=s3cret</title>", "Gone to https://x.org/a"),
        (b'{"count": 1}', None),
        (b"<wfs:FeatureCollection>", None),
        (b"<?xml version='1.0'?>", None),
        (b"", None),
    ],
)
def test_a_page_for_people_is_named_by_what_it_says(body, says):
    """A firewall's or a proxy's page is told by its beginning and named by its title or first words; data is not."""
    assert html_page(body) == (says and f'a web page instead of data: "{says}"')


def test_a_page_that_asks_for_a_password_is_a_log_in():
    """A form with a password is a log-in, whatever its title."""
    assert wants_login(b"<html><form><input name=p TYPE = 'password'></form>")
    assert not wants_login(b"<html><form><input type=text></form>")
    assert not wants_login(b'{"html": "<input type=password>"}')


@pytest.mark.parametrize("piece", [b"<title", b"<script", b"<input ", b"<", b"<title>", b"<script></", b"type=pass"])
def test_a_hostile_page_is_looked_at_quickly(piece):
    """A megabyte made to keep a pattern busy takes what its size takes."""

    def look(pieces: int) -> None:
        body = b"<html>" + piece * pieces
        html_page(body)
        wants_login(body)

    assert_linear(look, 40_000)


@settings(max_examples=examples(200))
@given(st.binary(max_size=400))
def test_no_page_is_an_error(noise):
    """Whatever bytes come, looking at them fails never."""
    said = html_page(b"<html>" + noise)
    assert said
    assert "\n" not in said


HOME = "https://gis.example.gov/arcgis/rest/services/P/0?f=json"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/moved/0?f=json", "https://gis.example.gov/moved/0?f=json"),
        ("0/", "https://gis.example.gov/arcgis/rest/services/P/0/"),
        ("https://maps.example.gov/0", "https://maps.example.gov/0"),
        ("http://www.example.gov:8080/0", "http://www.example.gov:8080/0"),
    ],
)
def test_a_redirect_within_the_site_is_followed(location, target):
    """A service that moved to another path, port or machine of the same organisation is asked there."""
    assert redirect_target(HOME, location, anywhere=False) == target


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("https://gis.example.gov/portal/signin?back=/", "log-in"),
        ("/Account/Login.aspx", "log-in"),
        ("https://login.example.gov/", "log-in"),
        ("https://sso.example.com/auth", "log-in"),
        ("https://gis.example.gov/sharing/oauth2/authorize", "log-in"),
        ("https://elsewhere.com/0", "another site"),
        ("https://example.gov.evil.com/0", "another site"),
        ("http://169.254.169.254/latest/meta-data", "another site"),
        ("http://localhost:9000/", "another site"),
        ("file:///etc/passwd", "not a web address|address that is not HTTP"),
        ("ftp://gis.example.gov/0", "not a web address|address that is not HTTP"),
        ("http://[::1", "not a web address|address that is not HTTP"),
        ("", "another|no address"),
    ],
)
def test_a_redirect_elsewhere_is_refused_by_name(location, why):
    """A log-in, another organisation, our own network and what is no web address are named, and not asked."""
    if location:
        with pytest.raises(FeedRefused, match=why) as caught:
            redirect_target(HOME, location, anywhere=False)
        assert re.match(r"https://gis\.example\.gov/arcgis/rest/services/P/0: ", str(caught.value))


@pytest.mark.parametrize(
    "path", ["/blog/individual/0", "/rest/services/Logan/0", "/authority/0", "/lossoffice/0", "/design/0"]
)
def test_a_path_that_only_sounds_like_a_log_in_is_followed(path):
    """Words within words are none."""
    assert redirect_target(HOME, path, anywhere=False).endswith(path)


def test_a_file_may_lie_anywhere_but_with_us():
    """Downloads are often kept by another company; our own network is still none of a portal's business."""
    bucket = "https://bucket.s3.amazonaws.com/parcels.zip?X-Amz-Signature=1"
    assert redirect_target(HOME, bucket, anywhere=True) == bucket
    for inside in ("http://10.0.0.7/a", "http://127.0.0.1/a", "http://[::1]/a", "http://192.168.1.1/a"):
        with pytest.raises(FeedRefused, match="another site"):
            redirect_target(HOME, inside, anywhere=True)


@pytest.mark.parametrize("site", ["co.uk", "ma.us"])
def test_under_a_country_three_labels_are_a_site(site):
    """Two towns of one state, or two firms of one country, are not one another's machines."""
    with pytest.raises(FeedRefused, match="another site"):
        redirect_target(f"https://gis.one.{site}/", f"https://gis.two.{site}/", anywhere=False)
    assert redirect_target(f"https://gis.one.{site}/", f"https://maps.one.{site}/", anywhere=False)


def verify_error(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_code = code
    return error


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (verify_error(20), "intermediate certificate.*SSL_CERT_FILE"),
        (verify_error(21), "intermediate certificate"),
        (verify_error(18), "self-signed"),
        (verify_error(10), "expired"),
        (verify_error(62), "another host"),
        (ssl.SSLError(1, "[SSL: UNSAFE_LEGACY_RENEGOTIATION_DISABLED] unsafe legacy renegotiation"), "before 2010"),
    ],
)
def test_a_tls_failure_says_what_is_missing(error, why):
    """Each is one line that says what is the matter with the certificate and what to do; none says to look away."""
    said = untrusted("https://gis.example.gov/a?token=s3cret", error)
    assert re.search(f"https://gis.example.gov/a: .*{why}", str(said))
    assert "s3cret" not in str(said)


def test_a_connection_cut_in_the_handshake_is_no_matter_of_trust():
    """A handshake that was cut is a failure that may pass."""
    assert untrusted("https://x.org", ssl.SSLEOFError(8, "EOF occurred in violation of protocol")) is None
    assert untrusted("https://x.org", TimeoutError()) is None
