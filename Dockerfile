# The gateway in a container: `make docker-build` builds it, `make docker-run` runs it as it is meant to be run,
# `make docker-check` builds and tries it on a machine that has buildah and no registry of images.
# The base is pinned by its digest (of all architectures); dependabot keeps it current.

FROM python:3.12-slim@sha256:78387bc3881b8273120a12ebe6c1ab22b018ccc2c9adf565ae1ac9b536e184ea AS builder

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /build

# The image's own pip fills a virtual environment that has none.
RUN python -m venv --without-pip /opt/gbproxy
COPY requirements-otel.txt ./
RUN pip --python /opt/gbproxy/bin/python install --only-binary :all: --require-hashes -r requirements-otel.txt

COPY pyproject.toml README.md LICENSE ./
COPY gbproxy ./gbproxy
# What only building and testing need stays behind, and the customs of countries whose language the console does not speak.
RUN pip --python /opt/gbproxy/bin/python install --no-deps --no-build-isolation . \
    && pip --python /opt/gbproxy/bin/python uninstall --yes flit-core \
    && find /opt/gbproxy/lib -type d -name tests -prune -exec rm -r {} + \
    && find /opt/gbproxy/lib -path '*/babel/locale-data/*.dat' ! -name 'root.dat' ! -name 'en*.dat' ! -name 'zh*.dat' -delete \
    && mkdir data


FROM python:3.12-slim@sha256:78387bc3881b8273120a12ebe6c1ab22b018ccc2c9adf565ae1ac9b536e184ea

LABEL org.opencontainers.image.title="gbproxy" \
      org.opencontainers.image.description="A gateway to the models behind your own Gemini Business account" \
      org.opencontainers.image.licenses="MIT"

# Nothing is written but to /tmp, /dev/shm and a volume at /data: the root may be read-only.
ENV PATH="/opt/gbproxy/bin:$PATH" \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GUNICORN_CMD_ARGS="--worker-tmp-dir=/dev/shm"

COPY --from=builder /opt/gbproxy /opt/gbproxy
# Empty, and the gateway's own: so is a volume that is made for it.
COPY --from=builder --chown=10001:10001 /build/data /data

WORKDIR /tmp
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-I", "-c", "import http.client, os, sys; port = (os.environ.get('PORT') or os.environ.get('SERVER_PORT') or '').strip(chr(34) + chr(39) + ' ') or '8080'; probe = http.client.HTTPConnection('127.0.0.1', int(port), timeout=3); probe.request('GET', '/livez'); sys.exit(probe.getresponse().status != 200)"]

# Without a shell between: process 1 becomes gunicorn's master, and SIGTERM reaches it. `docker run IMAGE simulate --help`
# and the other commands work as well.
ENTRYPOINT ["gbproxy"]
CMD ["serve"]
