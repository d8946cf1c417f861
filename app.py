"""Entry point of the CDK command line: ``npx cdk synth``, ``npx cdk deploy 'dev/*'``."""

from infra.application import application

application().synth()
