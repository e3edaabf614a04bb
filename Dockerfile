# docker build -t depthkv . && docker run --rm --network none depthkv
# Its steps, and the demo without a network, were tried in a chroot that debootstrap --variant=minbase made; no docker was at hand.
FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates git make
WORKDIR /depthkv
COPY . .
RUN make setup && make -j"$(nproc)" && rm -rf /var/lib/apt/lists/*
CMD ["make", "demo"]
