"""One environment: its stacks, and what each takes from the others."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

from infra.backtests import BacktestsStack
from infra.environments import Environment
from infra.functions import FunctionsStack
from infra.hot import HotStoreStack
from infra.ingester import IngesterStack
from infra.lake import LakeStack
from infra.monitoring import MonitoringStack
from infra.network import NetworkStack
from infra.packaging import LightBundle
from infra.schedules import SchedulesStack
from infra.security import SecurityStack
from infra.streams import StreamsStack
from infra.variables import values
from tradelake.topology import names, stores


class TradelakeStage(cdk.Stage):
    """Every stack of one environment; ``cdk deploy '<name>/*'`` deploys them in order."""

    def __init__(self, scope: Construct, environment: Environment, bundle: LightBundle) -> None:
        where = cdk.Environment(account=environment.account, region=environment.region)
        super().__init__(scope, environment.name, env=where)
        security = SecurityStack(self, environment)
        network = NetworkStack(self, environment, security.data_key)
        streams = StreamsStack(self, environment, security.data_key)
        lake = LakeStack(self, environment, security.data_key)
        hot = None
        if environment.hot_store == "influxdb":
            hot = HotStoreStack(self, environment, network.vpc, security.secret_key)
        variables = values(environment, lake, hot)
        made = FunctionsStack(
            self,
            environment,
            security=security,
            streams=streams,
            lake=lake,
            hot=hot,
            bundle=bundle,
            variables=variables,
        )
        SchedulesStack(self, environment, made=made.functions)
        IngesterStack(
            self,
            environment,
            vpc=network.vpc,
            security=security,
            streams=streams,
            variables=variables,
        )
        BacktestsStack(
            self,
            environment,
            vpc=network.vpc,
            security=security,
            lake=lake,
            made=made,
            variables=variables,
        )
        MonitoringStack(
            self,
            environment,
            security=security,
            made=made,
            failure_bucket=lake.buckets[stores.FAILURE_BUCKET.name].bucket_name,
        )
        cdk.Tags.of(self).add("system", names.SYSTEM)
        cdk.Tags.of(self).add("environment", environment.name)
