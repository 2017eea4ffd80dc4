# Training on NVIDIA GPUs. BASE is an image with PaddlePaddle for the machine's driver:
# https://www.paddlepaddle.org.cn/documentation/docs/en/install/docker/fromdocker_en.html
#
#   docker build -f deploy/docker/train.gpu.Dockerfile -t ppcls-train-gpu .
#   docker run --rm --init --gpus all --shm-size 8g --user "$(id -u):$(id -g)" -v "$PWD:/work" ppcls-train-gpu \
#       train -c ImageNet/gMLP/gMLP_S16 -o Global.checkpoints=auto
ARG BASE=ccr-2vdh3abv-pub.cnc.bj.baidubce.com/paddlepaddle/paddle:3.0.0-gpu-cuda12.6-cudnn9.5-trt10.5
FROM ${BASE}
WORKDIR /src
COPY requirements-gpu.txt ./
# The image's own paddlepaddle-gpu is the one that is asked for, so it stays.
RUN python3 -m pip install --no-cache-dir -r requirements-gpu.txt
COPY . .
# --no-deps: paddlepaddle for CPUs must not come on top.
RUN python3 -m pip install --no-cache-dir --no-deps . \
    && mkdir /opt/ppcls \
    && mv tools /opt/ppcls/ \
    && rm -rf /src/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin ppcls
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 10001
WORKDIR /work
ENTRYPOINT ["ppcls"]
CMD ["--help"]
