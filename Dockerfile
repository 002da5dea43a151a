# syntax=docker/dockerfile:1
# One image with every program; `command` of the pod says which one runs.
#   docker build -t maglev .
#   docker buildx build --platform linux/amd64,linux/arm64 -t registry.example/maglev --push .
# The page is in the checkout (web/dist), so nothing here needs Node; no step needs protoc.

# As in rust-toolchain.toml, which stays outside: it would make rustup fetch components that a build does not need.
ARG RUST_VERSION=1.95.0

# The builder runs on the machine's own architecture, whatever it builds for: nothing is emulated.
FROM --platform=$BUILDPLATFORM rust:${RUST_VERSION}-trixie AS build
ARG TARGETARCH
WORKDIR /src

# The C compiler is for ring alone, and links. Debian has one for each architecture under its GNU name.
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

# What .dockerignore lets through.
COPY . .

# What `--version` says.
ARG MAGLEV_COMMIT=unknown
ARG MAGLEV_BUILD_DATE=unknown
# Dependencies are built once: registry and target directory outlive a build. One build at a time uses them.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    set -eu; \
    target="$(cat /target)"; \
    CARGO_PROFILE_RELEASE_STRIP=debuginfo cargo build --locked --release --bins --target "$target"; \
    mkdir /out; \
    for program in maglevd maglev-controller maglev-frontend maglevc maglev-sandbox; do \
      cp "target/$target/release/$program" /out/; \
    done

# glibc and nothing else: no shell, no package manager. The certificates of public authorities are in the programs.
FROM gcr.io/distroless/cc-debian13:nonroot
COPY --from=build /out/ /usr/local/bin/
# The chart runs the agent as root, for VPP's sockets are root's, and all else as this user.
USER 65532:65532
CMD ["maglevd", "--help"]
