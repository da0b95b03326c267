#!/usr/bin/env bash
# All that `make vm-test` needs, into .cache/vm: kernel, image with the agent of this tree. Run again after each change of the agent: one to two minutes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
"$here/build-kernel.sh"
"$here/build-image.sh"
