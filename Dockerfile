# The server as an image: `docker build -t gemgem .`, then with GEMGEM_MONGO_URL and
# GEMGEM_REDIS_URL: `docker run -p 8080:8080 gemgem`. Embedded databases are not part of it.

# The page's packages. They are served as files, so Node.js stays out of the image.
FROM node:22-bookworm-slim AS page
WORKDIR /app/web
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN npm ci --ignore-scripts --omit=dev

FROM python:3.11-slim-bookworm AS packages
COPY requirements/base.txt /tmp/base.txt
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/base.txt

FROM python:3.11-slim-bookworm
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    GEMGEM_HTTP__HOST=0.0.0.0
RUN useradd --system --uid 10001 --no-create-home gemgem
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY config config
COPY clients clients
COPY models models
COPY sessions sessions
COPY jobs jobs
COPY handlers handlers
COPY server server
COPY web web
COPY --from=page /app/web/node_modules web/node_modules
# Files belong to root: the process can read its code and change none of it.
USER gemgem
EXPOSE 8080
# The folder that holds the packages comes first on the path, so ours win their plain names.
ENTRYPOINT ["python", "-m", "server"]
CMD ["serve"]
