"""The command line: `serve` runs the gateway, `camera` a sample camera, `demo` both; `call` speaks to a gateway."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from pydantic import ValidationError

from gateway import __version__, call, demo, garbage, handed_in, logs, settings_file
from gateway.app import Gateway, longest_end
from gateway.auth import keys_command
from gateway.auth.jwts import JwtError
from gateway.auth.keys import Keys
from gateway.auth.seal import KeyFileError
from gateway.ending import Ending
from gateway.handed_in import HandedInError
from gateway.jobs.storage.database import StoreError
from gateway.settings import FILE, Settings
from gateway.settings_file import SettingsFileError
from gateway.tls import TlsError
from gateway.web.transport.listener import raise_file_limit
from gateway.webhooks import command as webhooks_command
from media.process.environment import clean


def main() -> int:
    """Returns the exit status: 0 after an orderly end, 2 for settings or arguments that cannot be."""
    parser = argparse.ArgumentParser(prog="reelgate", description="A media-control gateway.")
    parser.add_argument("--version", action="version", version=f"Reelgate {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="run the gateway with settings.env and the environment")
    commands.add_parser("demo", help="run the gateway with a sample camera and a looping channel")
    commands.add_parser("keys", help="make, list and revoke API keys (see: keys --help)", add_help=False)
    commands.add_parser("webhooks", help="make a secret, see what waits (see: webhooks --help)", add_help=False)
    commands.add_parser("camera", help="run a sample camera (see: camera --help)", add_help=False)
    commands.add_parser("call", help="call the API and follow the job (see: call --help)", add_help=False)
    if sys.argv[1:2] == ["call"]:
        return call.main(sys.argv[2:])
    arguments, rest = parser.parse_known_args()
    if arguments.command == "camera":
        os.execve(sys.executable, [sys.executable, "-m", "media.faultcamera", *rest], clean())
    if rest and arguments.command not in ("keys", "webhooks"):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if arguments.command == "webhooks" and rest == ["secret"]:
        return webhooks_command.run(rest, Path())  # before any setting is read, since one of them needs it
    # The demo shows what it has to say, and of the log only what is a fault of ours.
    logs.configure(logging.ERROR if arguments.command == "demo" else logging.INFO)
    try:
        settings_file.check(FILE, Settings.model_fields)
        if arguments.command == "demo":
            return asyncio.run(demo.run())
        settings = Settings()
    except ValidationError as error:
        print(f"reelgate: the settings cannot be used:\n{_reasons(error)}", file=sys.stderr)
        return 2
    except SettingsFileError as error:
        print(f"reelgate: {error}", file=sys.stderr)
        return 2
    if arguments.command == "keys":
        return keys_command.run(rest, settings)
    if arguments.command == "webhooks":
        return webhooks_command.run(rest, settings.data_dir)
    return asyncio.run(serve(settings))


async def serve(settings: Settings) -> int:
    """Runs until SIGINT or SIGTERM, then ends in good order; a second signal ends it at once."""
    reason = unsafe(settings)
    if reason:
        print(f"reelgate: refusing to listen on {settings.http_host}: {reason}", file=sys.stderr)
        return 2
    try:
        sockets = handed_in.taken()
        handed_in.reached_by(sockets, loopback_only=settings.loopback_only)
    except HandedInError as error:
        print(f"reelgate: {error}", file=sys.stderr)
        return 2
    if (warning := raise_file_limit()) is not None:
        print(f"reelgate: {warning}", file=sys.stderr)
    stop = asyncio.Event()
    gateway = Gateway(settings, sockets)
    ending = Ending(longest_end(settings), stop.set, gateway.hurry)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, gateway.reload)
    return ending.done(await _served(gateway, stop))


async def _served(gateway: Gateway, stop: asyncio.Event) -> int:
    settings = gateway.settings
    try:
        async with gateway:
            garbage.settle()
            print(f"reelgate ready {gateway.url}", flush=True)
            await stop.wait()
    except (StoreError, TlsError, JwtError, KeyFileError) as error:
        print(f"reelgate: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"reelgate: cannot start on {settings.http_host}:{settings.http_port}: {error}", file=sys.stderr)
        return 2
    return 0


def unsafe(settings: Settings) -> str:
    """Why these settings would let in whoever comes by; "" when they would not."""
    if settings.loopback_only:
        return ""
    keys = Keys(settings.keys_file)
    if not len(keys) and settings.jwt_keys is None:
        trouble = f" ({keys.trouble})" if keys.trouble else ""
        return (
            f"whoever reaches that address could control cameras and read files, as there are no API keys{trouble}. "
            "Make one with `python -m gateway keys make NAME --scope control`, or set http_host=127.0.0.1."
        )
    if settings.tls_cert is None and not settings.http_plain:
        return (
            "keys and pictures would cross the network in the clear. Set tls_cert and tls_key; or, behind a proxy "
            "that does TLS, set http_plain=true."
        )
    return ""


def _reasons(error: ValidationError) -> str:
    return "\n".join(f"  {'.'.join(map(str, each['loc'])) or 'settings'}: {each['msg']}" for each in error.errors())


if __name__ == "__main__":
    sys.exit(main())
