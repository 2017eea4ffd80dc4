# Training, evaluation and export on CPUs; with EXTRAS=[onnx,serve] also to ONNX, and a server for Paddle's models.
#
#   docker build -f deploy/docker/train.Dockerfile -t ppcls-train --build-arg 'EXTRAS=[onnx]' .
#   docker run --rm --init --user "$(id -u):$(id -g)" -v "$PWD:/work" ppcls-train \
#       train -c quick_start/digits_ConvMixer -o Global.checkpoints=auto
#
# Python 3.11, since paddle2onnx has its wheels up to there; see docs/export.md.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
ARG EXTRAS=
WORKDIR /src
COPY . .
# Not a package to pin, but this folder.
# hadolint ignore=DL3013
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-cache-dir ".${EXTRAS}"

FROM python:${PYTHON}-slim
# Paddle is linked to OpenMP's library and does not bring it.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin ppcls
COPY --from=build /opt/venv /opt/venv
# paddle.distributed.launch starts scripts.
COPY tools /opt/ppcls/tools
# Caches go where anybody may write, also with a read-only root and a tmpfs at /tmp.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 10001
WORKDIR /work
ENTRYPOINT ["ppcls"]
CMD ["--help"]
