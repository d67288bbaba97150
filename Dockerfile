# The gateway's image for compose.yaml: Python, the lock file, the project; nothing else.
FROM python:3.11-slim
WORKDIR /sundbro
COPY requirements.lock pyproject.toml README.md ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY gateway gateway
COPY adapters adapters
COPY mappings mappings
COPY synthetic synthetic
RUN pip install --no-cache-dir --no-deps --no-build-isolation -e . && useradd --system --home /data sundbro && mkdir /data && chown sundbro /data
USER sundbro
ENTRYPOINT ["sundbro"]
CMD ["up"]
