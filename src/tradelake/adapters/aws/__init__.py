"""AWS over boto3, which lives here and in local mode only. Clients honour ``AWS_ENDPOINT_URL``."""
