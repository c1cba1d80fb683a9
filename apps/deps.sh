#!/bin/sh
# Installs what the build needs and is not there: Debian packages through apt-get, and torch with
# pytest into a virtual environment in .venv. Does nothing where all is there.
#   TORCH=/path/to/python   that Python brings torch; nothing is installed into it
#   TORCH_VERSION           the torch of .venv
#   REWIRE_APPS=OFF         without the packages that only the program needs
set -eu

packages="g++ cmake ccache python3 python3-venv libyaml-cpp-dev libfmt-dev nlohmann-json3-dev
  libhwy-dev libgtest-dev libgmock-dev"
if [ "${REWIRE_APPS:-ON}" != OFF ]; then
  packages="$packages libcli11-dev libjpeg62-turbo-dev libpng-dev zlib1g-dev libbenchmark-dev"
fi

missing=""
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' ||
    missing="$missing $package"
done
if [ -n "$missing" ]; then
  echo "installing:$missing"
  as_root=$([ "$(id -u)" = 0 ] || echo sudo)
  $as_root apt-get update -q
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
fi

[ -z "${TORCH:-}${VIRTUAL_ENV:-}" ] || exit 0
found=$(.venv/bin/python -c 'import numpy, pytest, torch; print(torch.__version__.split("+")[0])' 2>/dev/null || true)
if [ "$found" != "$TORCH_VERSION" ]; then
  [ -x .venv/bin/python ] || python3 -m venv .venv
  .venv/bin/python -m pip install -q --disable-pip-version-check "torch==$TORCH_VERSION" numpy pytest
fi
