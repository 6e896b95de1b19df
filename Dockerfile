# syntax=docker/dockerfile:1
# Two stages: one that compiles with cgo, one that holds the binary and nothing
# else to maintain: certificate authorities, time zones, and a user without
# rights. For images that are the same bytes for the same commit, pass
#   --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) --build-arg COMMIT=$(git rev-parse HEAD)
# and pin both base images by digest.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TAG="" COMMIT="" SOURCE_DATE_EPOCH=""
RUN TAG="${TAG}" COMMIT="${COMMIT}" SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH}" deploy/build /out/teamsbridge \
 && mkdir -p /out/data /out/tmp
# The list of what is in the binary, as CycloneDX has it, from what the binary
# itself says that it was built from.
RUN cd .ci/tools && GOFLAGS=-buildvcs=false go tool cyclonedx-gomod bin -json -std -output /out/sbom.cdx.json /out/teamsbridge

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/teamsbridge /usr/bin/teamsbridge
COPY --from=build /out/sbom.cdx.json LICENSE /usr/share/doc/teamsbridge/
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build --chown=65532:65532 /out/tmp /tmp
# The config, the registration and, with SQLite, the database live in /data; a
# file that is copied is in /tmp meanwhile. Nothing else is written to, so run
# it with a read-only root.
VOLUME /data /tmp
WORKDIR /data
USER 65532:65532
# 29317 is for the homeserver, 29318 for Microsoft Graph behind a TLS proxy, 29319
# for monitoring, 29320 for people's browsers behind a TLS proxy. In the config they
# must listen on 0.0.0.0: appservice.hostname, network.webhook.listen,
# network.metrics.listen, network.web_login.listen.
EXPOSE 29317 29318 29319 29320
# Down is when nothing can be accepted; an outage of Teams is none.
HEALTHCHECK --interval=15s --timeout=6s --start-period=60s --retries=4 \
  CMD ["/usr/bin/teamsbridge", "health", "-c", "/data/config.yaml"]
ENTRYPOINT ["/usr/bin/teamsbridge"]
CMD ["-c", "/data/config.yaml", "-r", "/data/registration.yaml"]
