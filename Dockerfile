# The image that `make image` writes, for those who have a registry to take Go from:
#
#	docker build --build-arg VERSION="$(git describe --tags --always --dirty)" \
#	  --build-arg COMMIT="$(git rev-parse HEAD)" \
#	  --build-arg SOURCE_DATE_EPOCH="$(git show -s --format=%ct HEAD)" -t peerbus:development .
#
# A test of image/ holds it to what `make image` writes.
ARG GO_VERSION=1.26
FROM --platform=$BUILDPLATFORM golang:${GO_VERSION} AS build
WORKDIR /src
COPY go.mod go.sum ./
COPY image/go.mod image/go.sum ./image/
RUN go mod download && cd image && go mod download
COPY . .
ARG VERSION=development
ARG COMMIT=
ARG SOURCE_DATE_EPOCH=0
ARG TARGETOS=linux
ARG TARGETARCH
RUN make image-files PLATFORM=$TARGETOS/$TARGETARCH FILES=/files
RUN mkdir -p -m 0700 /state

FROM scratch
COPY --from=build /files/peerbus /files/sbom.json /
COPY --from=build --chown=65532:65532 /state/ /var/lib/peerbus/
ARG VERSION=development
ARG COMMIT=
LABEL org.opencontainers.image.title=peerbus \
	org.opencontainers.image.version=$VERSION \
	org.opencontainers.image.revision=$COMMIT \
	org.opencontainers.image.source=https://github.com/peerbus/peerbus
ENV XDG_STATE_HOME=/var/lib
WORKDIR /
USER 65532:65532
ENTRYPOINT ["/peerbus"]
