"""The ECS templates: linted, deployed to moto over HTTP, and read back as AWS would show them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from engine.testing import fake_engine
from functions.app import create_app
from functions.settings import Settings
from functions.settings_sources import load_settings
from functions.targets.server import KEEP_ALIVE_SECONDS
from tests.infra.aws import FakeAws, fake_aws
from tests.infra.cloudformation import load, resources
from tests.infra.tools import INFRA, ROOT, installed, output, pinned

ECS = INFRA / "aws" / "ecs"
UNSUPPORTED = {
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::CloudWatch::Alarm",
    "AWS::ECS::CapacityProvider",
    "AWS::ECS::ClusterCapacityProviderAssociations",
    "AWS::SecretsManager::Secret",
}
"""What moto leaves out of a stack. cfn-lint alone has checked these."""
ACCEPTED = {
    "CKV_AWS_91": "access logs of the load balancer need a bucket: the parameter AccessLogsBucket",
    "CKV_AWS_149": "the secret is encrypted with AWS's own key, which costs nothing",
    "CKV_AWS_158": "so are the logs",
}
"""Checkov's checks that fail on purpose, and why."""


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeAws]:
    with fake_aws(tmp_path_factory.mktemp("aws")) as server:
        yield server


@pytest.fixture(scope="module")
def network(aws: FakeAws) -> dict[str, str]:
    return aws.deploy("network", ECS / "network.yaml", {})


@pytest.fixture(scope="module", params=["cpu", "gpu"])
def stack(request: pytest.FixtureRequest, aws: FakeAws, network: dict[str, str]) -> dict[str, str]:
    """Outputs of the stack, and its variant."""
    certificate = aws.client("acm").request_certificate(DomainName="embellama.example.org")
    parameters = {
        "Variant": request.param,
        "Image": f"123456789012.dkr.ecr.us-east-1.amazonaws.com/embellama:0.1.0-{request.param}",
        "CertificateArn": certificate["CertificateArn"],
        "ModelBucket": "example-models",
        "ModelPrefix": "all-MiniLM-L6-v2",
        **network,
    }
    outputs = aws.deploy(f"embellama-{request.param}", ECS / "template.yaml", parameters)
    return outputs | {"variant": request.param, "stack": f"embellama-{request.param}"}


def declared(stack: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What the template says for the variant: moto keeps but a part of it."""
    conditions = {"IsGpu": stack["variant"] == "gpu", "HasModel": True}
    return resources(
        ECS / "template.yaml", conditions | {"HasAccessLogs": False, "HasTopic": False}
    )


def server_container(stack: dict[str, str]) -> dict[str, Any]:
    containers = declared(stack)["Task"]["ContainerDefinitions"]
    (server,) = [entry for entry in containers if entry["Name"] == "server"]
    found: dict[str, Any] = server
    return found


def set_variables(stack: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server's container finds in its environment."""
    for entry in server_container(stack)["Environment"]:
        value = entry["Value"]
        monkeypatch.setenv(entry["Name"], value if isinstance(value, str) else value["Fn::Sub"])
    for entry in server_container(stack)["Secrets"]:
        monkeypatch.setenv(entry["Name"], "a-secret-key-of-some-length")


def test_the_templates_pass_cfn_lint() -> None:
    assert output([pinned("cfn-lint"), *sorted(ECS.glob("*.yaml"))]) == ""


def test_checkov_finds_nothing_but_what_is_accepted() -> None:
    """Without --skip-check, exactly the accepted checks fail."""
    report = json.loads(
        output([pinned("checkov"), "-d", ECS, "--framework", "cloudformation", "-o", "json",
                "--quiet", "--compact", "--soft-fail", "--skip-download"])
    )  # fmt: skip
    failed = {check["check_id"] for check in report["results"]["failed_checks"]}
    assert failed == set(ACCEPTED)
    assert report["summary"]["passed"] + report["summary"]["failed"] > 30


def test_only_known_types_are_left_out(aws: FakeAws, stack: dict[str, str]) -> None:
    """Moto says CREATE_COMPLETE whatever it skips; nothing else may be skipped."""
    assert aws.skipped_types() <= UNSUPPORTED


def test_the_service_runs_the_task(aws: FakeAws, stack: dict[str, str]) -> None:
    """Deployed and read back: two tasks of both containers, a GPU for the server or none."""
    ecs = aws.client("ecs")
    (service,) = ecs.describe_services(
        cluster=stack["ClusterName"], services=[stack["ServiceName"]]
    )["services"]
    assert service["desiredCount"] == 2
    task = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])
    server, metrics = task["taskDefinition"]["containerDefinitions"]
    assert server["image"].endswith(f"embellama:0.1.0-{stack['variant']}")
    assert metrics["name"] == "metrics"
    assert server["user"] == "10001:10001"
    assert server["readonlyRootFilesystem"] is True
    wanted = [{"type": "GPU", "value": "1"}] if stack["variant"] == "gpu" else None
    assert server.get("resourceRequirements") == wanted


def test_tasks_have_the_capacity_of_the_variant(stack: dict[str, str]) -> None:
    """Fargate, or instances that are added as tasks need them."""
    found = declared(stack)
    is_gpu = stack["variant"] == "gpu"
    assert found["Task"]["RequiresCompatibilities"] == ["EC2" if is_gpu else "FARGATE"]
    provider = {"Ref": "GpuCapacity"} if is_gpu else "FARGATE"
    assert found["Service"]["CapacityProviderStrategy"][0]["CapacityProvider"] == provider
    assert found["Capacity"]["CapacityProviders"] == [provider]
    assert is_gpu == ("GpuCapacity" in found)


def test_the_variables_are_options_that_the_server_takes(
    stack: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server itself reads what the task gives it."""
    set_variables(stack, monkeypatch)
    settings = load_settings()
    assert settings.gpu == (stack["variant"] == "gpu")
    assert settings.port == server_container(stack)["PortMappings"][0]["ContainerPort"]
    assert settings.model_path == "s3://${ModelBucket}/${ModelPrefix}"
    assert settings.trusted_proxy_hops == 1
    assert settings.api_key


def test_a_task_has_time_to_drain(stack: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Deregistration delay < drain < StopTimeout; a request < drain, and < the idle timeout."""
    set_variables(stack, monkeypatch)
    settings = load_settings()
    targets = {e["Key"]: e["Value"] for e in declared(stack)["Targets"]["TargetGroupAttributes"]}
    balancer = {e["Key"]: e["Value"] for e in declared(stack)["Balancer"]["LoadBalancerAttributes"]}
    delay = int(targets["deregistration_delay.timeout_seconds"])
    stop = server_container(stack)["StopTimeout"]
    assert delay < settings.shutdown_timeout_seconds < stop <= 120
    assert settings.request_timeout_seconds < settings.shutdown_timeout_seconds
    assert settings.request_timeout_seconds < int(balancer["idle_timeout.timeout_seconds"])


def test_it_scales_on_a_metric_that_the_collector_sends(stack: dict[str, str]) -> None:
    """The names in the scaling policy, the alarm and the collector's list are the server's."""
    name = "embellama_queue_tokens"
    found = declared(stack)
    policy = found["QueueScaling"]["TargetTrackingScalingPolicyConfiguration"]
    assert policy["CustomizedMetricSpecification"]["MetricName"] == name
    assert found["QueueAlarm"]["MetricName"] == name
    (_, metrics) = found["Task"]["ContainerDefinitions"]
    variables = {entry["Name"]: entry["Value"]["Fn::Sub"] for entry in metrics["Environment"]}
    (exporter,) = yaml.safe_load(variables["AOT_CONFIG_CONTENT"])["exporters"].values()
    (declaration,) = exporter["metric_declarations"]
    assert declaration["metric_name_selectors"] == [f"^{name}$", "^embellama_ready$"]
    assert declaration["dimensions"] == [["service"]]
    with fake_engine() as engine:
        exported = TestClient(create_app(Settings(), engine)).get("/metrics").text
    assert f"\n{name}{{" in exported
    assert "\nembellama_ready " in exported


def test_the_collector_scrapes_what_prometheus_can(stack: dict[str, str], tmp_path: Path) -> None:
    """Promtool reads its configuration, which keeps nothing but what goes to CloudWatch."""
    (_, metrics) = declared(stack)["Task"]["ContainerDefinitions"]
    variables = {entry["Name"]: entry["Value"]["Fn::Sub"] for entry in metrics["Environment"]}
    config = yaml.safe_load(variables["AOT_CONFIG_CONTENT"])["receivers"]["prometheus"]["config"]
    file = tmp_path / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config))
    output([installed("promtool", "the collector's configuration"), "check", "config", file])
    (scrape,) = config["scrape_configs"]
    (rule,) = scrape["metric_relabel_configs"]
    assert (rule["source_labels"], rule["action"]) == (["__name__"], "keep")
    kept = re.compile(rule["regex"])
    assert kept.fullmatch("embellama_queue_tokens")
    assert kept.fullmatch("embellama_ready")
    assert not kept.fullmatch("embellama_requests_total")


def test_containers_know_their_region(stack: dict[str, str]) -> None:
    """On an instance nobody tells them, and they can't ask it: ECS_AWSVPC_BLOCK_IMDS."""
    for container in declared(stack)["Task"]["ContainerDefinitions"]:
        variables = {entry["Name"]: entry["Value"] for entry in container["Environment"]}
        assert variables["AWS_REGION"] == {"Fn::Sub": "${AWS::Region}"}


def test_what_the_server_writes_to_is_a_volume_of_the_image(stack: dict[str, str]) -> None:
    """Else Fargate mounts it as root's, and the server is not root."""
    (volumes,) = re.findall(r"^VOLUME (.*)$", (ROOT / "Dockerfile.gpu").read_text(), re.MULTILINE)
    mounts = server_container(stack)["MountPoints"]
    assert {entry["ContainerPath"] for entry in mounts if not entry["ReadOnly"]} == set(
        json.loads(volumes)
    )


def test_the_load_balancer_speaks_tls_and_asks_whether_a_task_is_ready(
    aws: FakeAws, stack: dict[str, str]
) -> None:
    balancing = aws.client("elbv2")
    (arn,) = [
        entry["LoadBalancerArn"]
        for entry in balancing.describe_load_balancers()["LoadBalancers"]
        if entry["DNSName"] == stack["Address"]
    ]
    (group,) = balancing.describe_target_groups(LoadBalancerArn=arn)["TargetGroups"]
    assert group["HealthCheckPath"] == "/health/ready"
    (listener,) = balancing.describe_listeners(LoadBalancerArn=arn)["Listeners"]
    assert (listener["Port"], listener["Protocol"]) == (443, "HTTPS")
    rules = balancing.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
    (rule,) = [entry for entry in rules if entry["Priority"] == "1"]
    (condition,) = rule["Conditions"]
    paths = condition["PathPatternConfig"]["Values"]
    assert {"/metrics", "/admin", "/admin/*"} == set(paths)
    (action,) = rule["Actions"]
    assert json.loads(action["FixedResponseConfig"]["MessageBody"])["error"]["code"] == "not_found"


def test_the_load_balancer_lets_go_of_idle_connections_before_the_server_does() -> None:
    """Else it sends requests into connections that the server is closing: 502, now and then."""
    balancer = load(ECS / "template.yaml")["Resources"]["Balancer"]["Properties"]
    values = {
        entry["Key"]: entry["Value"]
        for entry in balancer["LoadBalancerAttributes"]
        if "Key" in entry
    }
    assert int(values["idle_timeout.timeout_seconds"]) < KEEP_ALIVE_SECONDS


def test_roles_may_do_little(aws: FakeAws, stack: dict[str, str]) -> None:
    """No action on everything but the one that has no resource; the model's prefix only."""
    iam = aws.client("iam")
    names = [role["RoleName"] for role in iam.list_roles()["Roles"]]
    roles = [n for n in names if n.startswith(stack["stack"]) and "InstanceRole" not in n]
    assert len(roles) == 2
    statements: list[dict[str, Any]] = []
    for role in roles:
        assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            statements += yaml.safe_load(policy)["Statement"]  # moto keeps it as Python's text
    wide = [entry["Action"] for entry in statements if entry.get("Resource") == "*"]
    assert wide == ["ecr:GetAuthorizationToken"]
    (model,) = [entry for entry in statements if entry["Action"] == "s3:GetObject"]
    assert model["Resource"] == "arn:aws:s3:::example-models/all-MiniLM-L6-v2/*"


def test_instances_have_gpus_and_guard_their_credentials(
    aws: FakeAws, stack: dict[str, str]
) -> None:
    if stack["variant"] == "cpu":
        return
    (template,) = aws.client("ec2").describe_launch_templates()["LaunchTemplates"]
    (version,) = aws.client("ec2").describe_launch_template_versions(
        LaunchTemplateId=template["LaunchTemplateId"]
    )["LaunchTemplateVersions"]
    data = version["LaunchTemplateData"]
    assert data["InstanceType"] == "g6.xlarge"
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    (group,) = aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert (group["MinSize"], group["MaxSize"]) == (0, 12)
    assert group["NewInstancesProtectedFromScaleIn"] is True


def test_logs_are_kept_for_a_month(aws: FakeAws, stack: dict[str, str]) -> None:
    groups = aws.client("logs").describe_log_groups(logGroupNamePrefix=stack["stack"])
    assert sorted(group["retentionInDays"] for group in groups["logGroups"]) == [7, 30]
