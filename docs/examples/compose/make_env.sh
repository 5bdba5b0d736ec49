#!/bin/sh
# Write the secrets of docker-compose.yaml into the file .env, unless there is one.
set -eu
umask 077
set -C # fails rather than overwrites
cat > .env <<EOF
POSTGRES_PASSWORD=$(openssl rand -hex 24)
REDIS_PASSWORD=$(openssl rand -hex 24)
FERNET_KEY=$(openssl rand -base64 32 | tr '+/' '-_')
API_SECRET_KEY=$(openssl rand -hex 32)
JWT_SECRET=$(openssl rand -hex 64)
EOF
