"""The gateway's settings, as the tests of the API have them."""

from tests.api.conftest import sample_folder as sample_folder
from tests.api.conftest import settings as settings
