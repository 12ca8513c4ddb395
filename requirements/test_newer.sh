#!/bin/sh
# Runs the tests of the algorithms and the policies under the newest Python
# found, 3.13 or 3.12, in an environment of its own. Without one, says so.
set -eu
workers=${1:-2}
for version in 3.13 3.12; do
  for python in "python$version" "$HOME"/.pyenv/versions/"$version".*/bin/python; do
    if "$python" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
      environment=.venv-newer
      "$BIN/uv" venv --quiet --clear --python "$python" "$environment"
      "$BIN/uv" pip install --quiet --python "$environment/bin/python" \
        --require-hashes -r "requirements/python$version.txt"
      "$BIN/uv" pip install --quiet --python "$environment/bin/python" \
        --no-deps --no-build-isolation -e .
      exec "$environment/bin/python" -m pytest -n "$workers" \
        --dist worksteal -m 'not slow and not network and not system' \
        tests/algorithms tests/networks
    fi
  done
done
echo 'skipped: neither Python 3.13 nor 3.12 is on this machine'
