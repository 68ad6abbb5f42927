# The coordinator: a SuperLink by default, and 'silosynth run' beside it from the same image.
#   docker build -f deploy/docker/coordinator.Dockerfile -t silosynth-coordinator .
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/silosynth \
    && /opt/silosynth/bin/pip install --no-cache-dir -c constraints.txt ".[coordinator]"

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10000 --create-home --shell /usr/sbin/nologin silosynth-superlink
COPY --from=build /opt/silosynth /opt/silosynth
RUN install -d -o silosynth-superlink -m 0700 /var/lib/silosynth-superlink
ENV FLWR_HOME=/var/lib/silosynth-superlink FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1
USER silosynth-superlink
ENTRYPOINT ["/opt/silosynth/bin/flower-superlink", "--host", "0.0.0.0", "--port", "9092", "--ssl-certfile", "/etc/silosynth/coordinator/superlink.pem", "--ssl-keyfile", "/etc/silosynth/coordinator/superlink-key.pem", "--ssl-ca-certfile", "/etc/silosynth/ca.pem", "--database", "/var/lib/silosynth-superlink/state.db", "--enable-supernode-auth", "--isolation", "process", "--superexec-auth-secret-file", "/etc/silosynth/coordinator/superexec.secret", "--disable-runtime-dependency-installation"]
