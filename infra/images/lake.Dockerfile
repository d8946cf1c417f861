# Functions that write the lake: pyarrow and pyiceberg do not fit into a zip. Built from the repository's root.
FROM public.ecr.aws/lambda/python:3.13-arm64
COPY requirements/lake.txt /tmp/lake.txt
RUN pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: --target "${LAMBDA_TASK_ROOT}" \
    --requirement /tmp/lake.txt && rm /tmp/lake.txt
COPY src/tradelake ${LAMBDA_TASK_ROOT}/tradelake
COPY functions ${LAMBDA_TASK_ROOT}/functions
# which handler: each function's own command
