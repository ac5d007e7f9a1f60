# The image of the worker. BASE and RUST can be replaced: BASE needs a shell and the C library of
# Debian, of the same release as RUST or a later one.
ARG BASE=debian:bookworm-slim
ARG RUST=rust:1.94.1-slim-bookworm

FROM ${RUST} AS build
# The profile of Cargo. The test of the image uses `quick`.
ARG PROFILE=release
WORKDIR /src
# Dependencies first, against empty packages. This layer is reused until a manifest, Cargo.lock or a
# benchmark changes. The manifest of the root package names the benchmarks.
COPY Cargo.toml Cargo.lock ./
COPY crates/core/Cargo.toml crates/core/
COPY crates/demo/Cargo.toml crates/demo/
COPY crates/engines/Cargo.toml crates/engines/
COPY crates/stores/Cargo.toml crates/stores/
COPY crates/testkit/Cargo.toml crates/testkit/
COPY benches benches
RUN for package in . crates/*; do mkdir "$package/src" && touch "$package/src/lib.rs"; done \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --profile "$PROFILE" --locked -p twinkey \
    && rm -r src crates
COPY migrations migrations
COPY crates crates
COPY src src
# Cargo compares modification times, and COPY keeps those of the sources: they could be older than
# the build above. The program is copied out of target/, which can be a volume or a cache.
RUN find src crates -name '*.rs' -exec touch {} + \
    && cargo build --profile "$PROFILE" --locked -p twinkey \
    && cp "target/$PROFILE/twinkey" /usr/local/bin/twinkey

FROM ${BASE}
# A test compares it with Cargo.toml.
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="twinkey" \
      org.opencontainers.image.description="Rotates database credentials without downtime" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
# TLS to AWS uses the root certificates of the system. A base without any gets those of Debian.
#
# The folder belongs to a numeric user: Kubernetes' runAsNonRoot can then verify that it is not 0.
RUN --mount=type=bind,from=build,source=/etc/ssl/certs,target=/mnt \
    { [ -e /etc/ssl/certs/ca-certificates.crt ] \
        || install -D -m 644 /mnt/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt; } \
    && install -d -o 65532 -g 65532 -m 700 /var/lib/twinkey
COPY --from=build /usr/local/bin/twinkey /usr/local/bin/twinkey
# The journal and the embedded store are the only files written: the root file system can be
# read-only. With VOLUME, a mount of Docker or ECS at this path belongs to the user too. The worker
# reads its config from this folder (twinkey.toml) or from /etc/twinkey.
VOLUME /var/lib/twinkey
USER 65532:65532
WORKDIR /var/lib/twinkey
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 CMD ["/usr/local/bin/twinkey", "healthz"]
ENTRYPOINT ["/usr/local/bin/twinkey"]
CMD ["serve"]
