#!/bin/sh
# Tests our advantages in Tunix's learner, in an environment of its own: Tunix
# needs other versions than the rest. Without Python 3.12, says so.
set -eu
for python in python3.12 "$HOME"/.pyenv/versions/3.12.*/bin/python; do
  if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null; then
    environment=.venv-tunix
    "$BIN/uv" venv --quiet --clear --python "$python" "$environment"
    "$BIN/uv" pip install --quiet --python "$environment/bin/python" \
      --require-hashes -r requirements/tunix.txt
    exec "$environment/bin/python" -m pytest tests/integrations
  fi
done
echo 'skipped: Python 3.12 is not on this machine'
