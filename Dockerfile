# One image for the API, the workers and the migrations; docker-compose.yml says which runs what.
#
#   docker build -t trimtab .                             whatever PyTorch build pip takes
#   docker build -t trimtab --build-arg TORCH=cpu .       PyTorch's CPU build, or no image
#   docker build -t trimtab --build-arg TORCH=cuda .      its CUDA build, or no image
#
# PIP_EXTRA_INDEX_URL is where pip looks besides its own index. With PyTorch's index of CPU wheels
# there (the address that PyTorch's installation page gives for pip and CPU), the image is several
# GB smaller. Where images are mirrored by digest, PYTHON_IMAGE names the base.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm


# The names and bounds of the dependencies, and nothing else of pyproject.toml: an edit elsewhere in
# that file leaves the large layer below as it is.
FROM ${PYTHON_IMAGE} AS requirements
ARG EXTRAS=""
WORKDIR /requirements
COPY pyproject.toml .
COPY <<'PYTHON' list.py
import os
import pathlib
import tomllib

project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
wanted = list(project["dependencies"])
for extra in os.environ["EXTRAS"].replace(",", " ").split():
    wanted += project["optional-dependencies"][extra]
pathlib.Path("requirements.txt").write_text("\n".join(wanted) + "\n")
PYTHON
RUN python list.py


FROM ${PYTHON_IMAGE} AS build
ARG TORCH=any
ARG PIP_INDEX_URL PIP_EXTRA_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# Without pip, as nothing is installed later.
RUN python -m venv --without-pip /opt/trimtab

# PyTorch first and alone, as it is most of the image and changes least.
COPY constraints.txt .
COPY --chmod=755 <<'BASH' install-torch
#!/bin/bash
set -euo pipefail
wanted=$(grep '^torch==' constraints.txt)
case $TORCH in
  any | cuda) ;;
  cpu) wanted+=+cpu ;;
  *) echo "TORCH is $TORCH; it can be any, cpu or cuda." >&2; exit 2 ;;
esac
pip --python /opt/trimtab/bin/python install --constraint constraints.txt "$wanted" || {
  echo "pip found no $wanted. Name PyTorch's index of wheels in PIP_EXTRA_INDEX_URL, or leave" \
    "TORCH out." >&2
  exit 1
}
has=$(/opt/trimtab/bin/python -c 'import torch; print("cuda" if torch.version.cuda else "cpu")')
echo "PyTorch's $has build is installed."
if [ "$TORCH" != any ] && [ "$TORCH" != "$has" ]; then
  echo "TORCH=$TORCH was asked for: PIP_EXTRA_INDEX_URL leads pip to another build." >&2
  exit 1
fi
BASH
RUN --mount=type=cache,target=/root/.cache/pip ./install-torch

COPY --from=requirements /requirements/requirements.txt .
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/trimtab/bin/python install --constraint constraints.txt -r requirements.txt

# What only a compiler or a test of these libraries would read.
RUN cd /opt/trimtab/lib/python3*/site-packages \
 && rm -rf torch/include torch/share torch/test numpy/_core/tests numpy/*/tests sympy/*/tests \
           sympy/*/*/tests networkx/*/tests networkx/*/*/tests

COPY pyproject.toml README.md LICENSE ./
COPY admin_core admin_core
COPY worker worker
COPY app app
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/trimtab/bin/python install --no-deps .


FROM ${PYTHON_IMAGE} AS trimtab
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Trimtab" \
      org.opencontainers.image.description="Will this Transformer train? A verdict over REST." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# A number of its own, so that a volume or a cluster's policy can name it.
RUN groupadd --gid 10001 trimtab \
 && useradd --uid 10001 --gid trimtab --no-create-home --home-dir /var/lib/trimtab \
            --shell /usr/sbin/nologin trimtab \
 && install --directory --owner trimtab --group trimtab --mode 750 /var/lib/trimtab \
 && pip uninstall --yes --quiet --root-user-action ignore setuptools wheel pip
COPY --from=build /opt/trimtab /opt/trimtab
ENV PATH=/opt/trimtab/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OMP_WAIT_POLICY=passive \
    TRIMTAB_HOME=/var/lib/trimtab
WORKDIR /var/lib/trimtab
USER 10001:10001
EXPOSE 8000
# Of the API, asked whether it can work. Workers have a check of their own in docker-compose.yml.
HEALTHCHECK --interval=15s --timeout=10s --start-period=120s --retries=3 CMD ["trimtab", "health"]
CMD ["trimtab", "api", "--host", "0.0.0.0"]
