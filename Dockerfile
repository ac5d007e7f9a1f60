# The worker as an image. BASE is a parameter for those who keep a Debian of their own.
ARG BASE=debian:bookworm-slim
ARG RUST=rust:1.94.1-bookworm

FROM ${RUST} AS build
WORKDIR /src
# Dependencies first, against an empty crate: the layer holds until Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
COPY benches benches
RUN mkdir src && echo 'fn main() {}' > src/main.rs && touch src/lib.rs \
    && cargo build --release --locked \
    && rm -r src
COPY migrations migrations
COPY src src
# Newer than the empty crate's build, whatever times the copies have.
RUN touch src/main.rs src/lib.rs && cargo build --release --locked

FROM ${BASE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/twinkey /usr/local/bin/twinkey
# A number, so that Kubernetes' runAsNonRoot can see that it is not 0. The journal and the embedded
# store live in the working folder: mount a volume there. The config is expected in /etc/twinkey.
RUN install -d -o 65532 -g 65532 -m 700 /var/lib/twinkey
USER 65532:65532
WORKDIR /var/lib/twinkey
ENTRYPOINT ["/usr/local/bin/twinkey"]
CMD ["serve"]
