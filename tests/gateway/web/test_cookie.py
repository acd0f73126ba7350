"""One cookie out of a head, read without the others."""

import pytest
from aiohttp.test_utils import make_mocked_request

from gateway.web.access.principal import SESSION, cookie


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("", None),
        (f"{SESSION}=abc", "abc"),
        (f"a=b; {SESSION}=abc.d-e_f; c=d", "abc.d-e_f"),
        (f"a=b;{SESSION}=abc", "abc"),
        (f'{SESSION}="abc"', "abc"),
        (f"x{SESSION}=no; {SESSION}x=no", None),
        (f"{SESSION}=first; {SESSION}=second", "first"),
        (f"{SESSION}=a=b", "a=b"),
        (f"{SESSION}=", ""),
        (";" * 8000, None),
    ],
)
def test_a_cookie_is_read_as_a_browser_sends_it(header: str, value: str | None) -> None:
    assert cookie(make_mocked_request("GET", "/", headers={"Cookie": header}), SESSION) == value
