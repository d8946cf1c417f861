# Functions that ask Alpaca over REST: alpaca-py does not fit into a zip. Built from the repository's root.
FROM public.ecr.aws/lambda/python:3.13-arm64
COPY requirements/ingester.txt /tmp/ingester.txt
RUN pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: --target "${LAMBDA_TASK_ROOT}" \
    --requirement /tmp/ingester.txt && rm /tmp/ingester.txt
COPY src/tradelake ${LAMBDA_TASK_ROOT}/tradelake
COPY functions ${LAMBDA_TASK_ROOT}/functions
# which handler: each function's own command
