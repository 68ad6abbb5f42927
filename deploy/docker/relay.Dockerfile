# A silo's relay with its SuperNode: no data, no key of the silo.
#   docker build -f deploy/docker/relay.Dockerfile -t silosynth-relay .
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/silosynth \
    && /opt/silosynth/bin/pip install --no-cache-dir -c constraints.txt ".[silo]"

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10002 --create-home --shell /usr/sbin/nologin silosynth-relay \
    && install -d -o silosynth-relay -m 0700 /home/silosynth-relay/flwr
COPY --from=build /opt/silosynth /opt/silosynth
ENV FLWR_HOME=/home/silosynth-relay/flwr
USER silosynth-relay
ENTRYPOINT ["/opt/silosynth/bin/silosynth", "relay", "--ca", "/etc/silosynth/ca.pem", "--key", "/etc/silosynth/relay/supernode.pem", "--gateway", "/run/silosynth/gateway.sock", "--metrics-port", "9464", "--json-logs"]
CMD ["--superlink", "superlink:9092", "--silo", "north"]
