#!/bin/sh
# The API with curl alone: sh docs/clients/curl.sh
set -eu
url=${OPENAI_BASE_URL:-http://127.0.0.1:8080/v1}
model=all-MiniLM-L6-v2

ask() { # PATH [JSON]: print the answer; fail if it is a refusal
    path=$1
    shift
    test $# -eq 0 || set -- -H 'content-type: application/json' --data "$1"
    curl --silent --show-error --fail-with-body --write-out '\n' \
        -H "authorization: Bearer ${OPENAI_API_KEY:-none}" "$@" "$url$path"
}

echo '# Is it ready?'
curl --silent --show-error --fail-with-body --write-out '\n' "${url%/v1}/health/ready"

echo '# Which models are there?'
ask /models | cut -c1-80

echo '# One text'
ask /embeddings "{\"model\": \"$model\", \"input\": \"A cat sleeps.\"}" | cut -c1-80

echo '# Several texts, as base64 of little-endian float32'
ask /embeddings "{\"model\": \"$model\", \"input\": [\"A cat sleeps.\", \"A dog barks.\"],
    \"encoding_format\": \"base64\"}" | cut -c1-80

echo '# How long is a text?'
ask /tokenize "{\"model\": \"$model\", \"input\": \"A cat sleeps.\"}"

echo '# What does a refusal look like?'
ask /embeddings '{"model": "no-such-model", "input": "A cat sleeps."}' || echo '(curl failed, as it should)'
