# An image for CPUs and for NVIDIA's cards, of packages whose files are known by their hashes:
#
#   docker build --tag selftaught .
#   docker run --rm --volume "$PWD:/work" selftaught pretrain photos/ --out runs/photos
#   docker run --rm --gpus all --shm-size 2g --volume "$PWD:/work" selftaught pretrain photos/ --out runs/photos
#
# The packages of constraints.txt are those for CUDA, which run on a CPU as well. An image for CPUs alone is smaller by
# gigabytes, and takes pins of torch's CPU builds, which have hashes of their own (`make lock-cpu`), and their index:
#
#   docker build --tag selftaught:cpu --build-arg PINS=constraints-cpu.txt --build-arg INDEX=ADDRESS .
#
# Files in /work belong to whoever starts it with --user "$(id -u):$(id -g)"; without that to number 1000.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS made
ARG PINS=constraints.txt
ARG INDEX=
ARG EXTRAS="export parquet fast nvjpeg remote science dicom heif jxl hdf5 zarr audio text search"
WORKDIR /build
RUN python -m venv /opt/selftaught
ENV PATH=/opt/selftaught/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY ${PINS} constraints.txt
RUN python -m pip install ${INDEX:+--extra-index-url "$INDEX"} --require-hashes --requirement constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY tools/supply.py tools/supply.py
RUN python -m build --wheel --no-isolation --outdir dist . && python -m pip install --no-deps --no-index dist/*.whl
# What only those need who change the package does not come along.
RUN python tools/supply.py spare $EXTRAS > spare.txt && python -m pip uninstall --yes --requirement spare.txt

FROM python:${PYTHON}-slim
COPY --from=made /opt/selftaught /opt/selftaught
ENV PATH=/opt/selftaught/bin:$PATH NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# Whoever it is started as has a place for what is kept between runs, such as decoded images.
ENV HOME=/tmp/home SELFTAUGHT_CACHE=/tmp/home/cache
RUN useradd --uid 1000 --no-create-home selftaught && mkdir -p /work && chown 1000:1000 /work
USER 1000:1000
WORKDIR /work
RUN selftaught --version
ENTRYPOINT ["selftaught"]
CMD ["--help"]
