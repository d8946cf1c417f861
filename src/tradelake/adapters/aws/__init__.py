"""AWS over boto3, which lives here and nowhere else in the product. Every client honours ``AWS_ENDPOINT_URL``."""
