"""What the system consists of, as plain data: every name is spelt here and nowhere else.

Two interpreters read it: ``infra`` makes CloudFormation of it, ``tradelake.local`` wires the same
on one machine. Arrow, Iceberg, Glue and Spark schemas are rendered from
:mod:`tradelake.topology.tables`.
"""
