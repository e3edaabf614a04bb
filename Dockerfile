# docker build -t depthkv . && docker run --rm depthkv
FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates git make
WORKDIR /depthkv
COPY . .
RUN make setup && make -j"$(nproc)" && rm -rf /var/lib/apt/lists/*
CMD ["make", "demo"]
