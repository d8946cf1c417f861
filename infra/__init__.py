"""Interprets the topology as CloudFormation: one CDK stage an environment, one stack a concern."""
