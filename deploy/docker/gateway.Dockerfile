# A silo's gateway: the only container that mounts the table. Build at the root of the project:
#   docker build -f deploy/docker/gateway.Dockerfile -t silosynth-gateway .
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/silosynth \
    && /opt/silosynth/bin/pip install --no-cache-dir -c constraints.txt ".[silo]"

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin silosynth \
    && useradd --system --uid 10002 --no-create-home --shell /usr/sbin/nologin silosynth-relay
COPY --from=build /opt/silosynth /opt/silosynth
# It starts as root, gives its socket to the relay's user, and becomes the policy's run_as before
# it opens anything. compose.yaml leaves it the three capabilities that this takes.
USER root
ENTRYPOINT ["/opt/silosynth/bin/silosynth", "silo", "serve", "--policy", "/etc/silosynth/silo/silo.toml"]
