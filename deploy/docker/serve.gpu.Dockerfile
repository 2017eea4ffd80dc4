# The HTTP server for ONNX models on an NVIDIA GPU, without Paddle. The machine brings the driver (NVIDIA's container
# toolkit), the image CUDA and cuDNN.
#
#   docker build -f deploy/docker/serve.gpu.Dockerfile -t ppcls-serve-gpu .
#   docker run --rm --read-only --gpus all -p 8000:8000 -v "$PWD/output/digits/inference:/model:ro" ppcls-serve-gpu
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
WORKDIR /src
# Dependencies first: a change of the code installs only the code again.
COPY requirements-serve-gpu.txt ./
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --no-cache-dir -r requirements-serve-gpu.txt
COPY . .
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-deps .

FROM python:${PYTHON}-slim
# A number, not a name: Kubernetes checks by it that the user is not root.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin ppcls
COPY --from=build /opt/venv /opt/venv
# What the container toolkit mounts of the driver: CUDA, and nvidia-smi. Which GPUs, `docker run` or Kubernetes says.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
# ONNX Runtime's telemetry off: it also warns that there is no folder to keep an identifier in.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 ORT_DISABLE_TELEMETRY=1
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=3); c.request('GET', '/health'); raise SystemExit(c.getresponse().status != 200)"]
# In exec form signals reach the server, which then answers what it has accepted and ends.
ENTRYPOINT ["ppcls", "serve"]
CMD ["/model", "--backend", "onnx", "--device", "gpu", "--host", "0.0.0.0"]
