# syntax=docker/dockerfile:1
# One image with the programs of a cluster. The pod's `command` selects the program.
#   docker build -t maglev .
#   docker build -t maglev --target development .   (also with maglev-sandbox and its simulated VPP)
#   docker buildx build --platform linux/amd64,linux/arm64 -t registry.example/maglev --push .
# The dashboard's page is in the checkout (web/dist), so the build needs no Node. It needs no protoc either.

# Same version as rust-toolchain.toml, which is not copied: it would make rustup install components that are not needed.
ARG RUST_VERSION=1.95.0

# The builder runs on the host's architecture and cross-compiles, so nothing is emulated.
FROM --platform=$BUILDPLATFORM rust:${RUST_VERSION}-trixie AS build
ARG TARGETARCH
WORKDIR /src

# The C compiler builds ring and jemalloc, and links. Debian has a cross compiler for each architecture, named by its GNU triplet.
ENV CC_x86_64_unknown_linux_gnu=x86_64-linux-gnu-gcc \
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc \
    CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
# hadolint ignore=DL3008
RUN set -eu; \
    case "$TARGETARCH" in \
      amd64) target=x86_64-unknown-linux-gnu gnu=x86-64-linux-gnu ;; \
      arm64) target=aarch64-unknown-linux-gnu gnu=aarch64-linux-gnu ;; \
      *) echo "no build for $TARGETARCH" >&2; exit 1 ;; \
    esac; \
    if [ "$(dpkg --print-architecture)" != "$TARGETARCH" ]; then \
      apt-get update; \
      apt-get install --yes --no-install-recommends "gcc-$gnu" "libc6-dev-$TARGETARCH-cross"; \
      rm -rf /var/lib/apt/lists/*; \
    fi; \
    rustup target add "$target"; \
    echo "$target" > /target

# .dockerignore excludes everything that the build does not need.
COPY . .

# Shown by `--version`.
ARG MAGLEV_COMMIT=unknown
ARG MAGLEV_BUILD_DATE=unknown
# Cache mounts keep the registry and the target directory between builds, so dependencies are built once. Builds share
# them one at a time.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    set -eu; \
    target="$(cat /target)"; \
    # Kernels for arm64 have pages of up to 64 KiB.
    [ "$TARGETARCH" != arm64 ] || export JEMALLOC_SYS_WITH_LG_PAGE=16; \
    CARGO_PROFILE_RELEASE_STRIP=debuginfo \
      cargo build --locked --release -p maglev --bins --target "$target"; \
    mkdir /out; \
    for program in maglevd maglev-controller maglev-frontend maglevc maglev-tester; do \
      cp "target/$target/release/$program" /out/; \
    done

# Built only for the image for development.
FROM build AS build-sandbox
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    set -eu; \
    target="$(cat /target)"; \
    CARGO_PROFILE_RELEASE_STRIP=debuginfo \
      cargo build --locked --release -p maglev-sandbox --bins --target "$target"; \
    cp "target/$target/release/maglev-sandbox" /out/

# glibc only: no shell, no package manager. The root certificates of public CAs are compiled into the programs.
FROM gcr.io/distroless/cc-debian13:nonroot AS base
# The chart runs the agent as root, because VPP's sockets belong to root, and all other programs as this user.
USER 65532:65532
CMD ["maglevd", "--help"]

FROM base AS development
COPY --from=build-sandbox /out/ /usr/local/bin/

# The last stage is the default.
FROM base
COPY LICENSE NOTICE /usr/share/doc/maglev/
COPY --from=build /out/ /usr/local/bin/
