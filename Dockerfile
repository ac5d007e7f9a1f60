# The worker as an image. BASE and RUST are parameters for those who keep images of their own: BASE needs a
# shell and Debian's C library, of the release that RUST has or a later one.
ARG BASE=debian:bookworm-slim
ARG RUST=rust:1.94.1-slim-bookworm

FROM ${RUST} AS build
WORKDIR /src
# Dependencies first, against an empty crate: the layer holds until Cargo.toml, Cargo.lock or a benchmark changes.
COPY Cargo.toml Cargo.lock ./
COPY benches benches
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && cargo build --release --locked \
    && rm -r src
COPY migrations migrations
COPY src src
# Newer than the empty crate's build, whatever times the copies have. The result leaves target/, which may be a
# volume or a cache.
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked \
    && cp target/release/twinkey /usr/local/bin/twinkey

FROM ${BASE}
# A test holds it against Cargo.toml.
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="twinkey" \
      org.opencontainers.image.description="Rotates database credentials without downtime" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
# AWS is trusted by the system's roots: a base's own are kept, one without any gets Debian's.
#
# The folder belongs to a number, so that Kubernetes' runAsNonRoot can see that it is not 0.
RUN --mount=type=bind,from=build,source=/etc/ssl/certs,target=/mnt \
    { [ -e /etc/ssl/certs/ca-certificates.crt ] \
        || install -D -m 644 /mnt/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt; } \
    && install -d -o 65532 -g 65532 -m 700 /var/lib/twinkey
COPY --from=build /usr/local/bin/twinkey /usr/local/bin/twinkey
# The journal and the embedded store are written here, and nothing anywhere else: the root file system may be
# read-only. As a volume, so that what Docker or ECS mounts here belongs to the user too. The config is looked
# for here (twinkey.toml) and in /etc/twinkey.
VOLUME /var/lib/twinkey
USER 65532:65532
WORKDIR /var/lib/twinkey
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 CMD ["/usr/local/bin/twinkey", "healthz"]
ENTRYPOINT ["/usr/local/bin/twinkey"]
CMD ["serve"]
