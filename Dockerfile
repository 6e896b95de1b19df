# syntax=docker/dockerfile:1
# Two stages: one that compiles with cgo, one that holds the binary and nothing else to maintain.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TAG="" COMMIT="" BUILD_TIME=""
# SQLite needs cgo; goolm is the pure Go cipher library, so that libolm is not
# needed. Static, because the final image has no C library.
RUN CGO_ENABLED=1 go build -trimpath -buildvcs=false -tags "goolm sqlite_omit_load_extension netgo osusergo" \
      -ldflags "-s -w -extldflags -static -X main.Tag=${TAG} -X main.Commit=${COMMIT} -X main.BuildTime=${BUILD_TIME}" \
      -o /out/teamsbridge ./cmd/teamsbridge \
 && mkdir -p /out/data

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/teamsbridge /usr/bin/teamsbridge
COPY --from=build --chown=65532:65532 /out/data /data
COPY LICENSE /usr/share/doc/teamsbridge/LICENSE
# The config, the registration and, with SQLite, the database live here.
VOLUME /data
WORKDIR /data
USER 65532:65532
# 29317 is for the homeserver, 29318 for Microsoft Graph behind a TLS proxy. In
# the config both must listen on 0.0.0.0: appservice.hostname, webhook.listen.
EXPOSE 29317 29318
ENTRYPOINT ["/usr/bin/teamsbridge"]
CMD ["-c", "/data/config.yaml", "-r", "/data/registration.yaml"]
