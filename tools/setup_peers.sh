#!/bin/sh
# Makes build/peers: an environment with OpenVINO, torch and torchvision, which `make bench` holds our engines against.
# What can't be had is left out by name. torch brings 3 GB with it on x86-64.
set -eu
cd "$(dirname "$0")/.."
into=build/peers
python=${PYTHON:-.venv/bin/python}
mkdir -p build
[ -x "$into/bin/python" ] || "$python" -m venv "$into"
pip() { "$into/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
have() { "$into/bin/python" -c "import $1" 2>/dev/null; }
have cv2 && have onnxruntime && have pycocotools && have click || pip '.[onnx]'
have openvino || pip openvino || echo "Left out: openvino, which can't be installed here" >&2
have torchvision || pip torch torchvision || echo "Left out: torchvision, which can't be installed here" >&2
