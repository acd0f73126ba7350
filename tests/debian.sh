#!/bin/sh
# Installs the Debian packages that the tests use, as root; otherwise says which are missing, and those tests are skipped.
set -eu

packages="curl jq ffmpeg chromium python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-tools
gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
gstreamer1.0-libav gstreamer1.0-rtsp fonts-dejavu-core nginx varnish haproxy apache2-bin caddy"

# npm fetches hls.js for the tests; some machines have it from elsewhere.
command -v npm >/dev/null || packages="$packages npm"

command -v dpkg-query >/dev/null || { echo "tests/debian.sh: this is no Debian; install by hand: $packages"; exit 0; }

missing=""
for package in $packages; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "tests/debian.sh: tests that need these packages are skipped; as root: apt-get install$missing"
    exit 0
fi
echo "tests/debian.sh: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet=2
# shellcheck disable=SC2086 # a list of words
# No service is to start by itself: `RUNLEVEL` says that the machine is not up yet.
RUNLEVEL=1 apt-get install --quiet=2 --yes --no-install-recommends $missing >/dev/null
