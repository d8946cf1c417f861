"""AWS without Docker: moto's server in a process of its own, its pretences made real.

S3, DynamoDB, Secrets Manager, SQS, SNS and EventBridge are moto's as they are. Batch jobs and
Lambda functions run as subprocesses of the product's own entry points, and Step Functions executes
the state machine. Kinesis is refused here: another server speaks it (``AWS_ENDPOINT_URL_KINESIS``).
Everything is in memory: a new process is an empty account.

Overrides of moto's private parts live in :mod:`tradelake.local.emulator.overrides` and nowhere
else.
"""
