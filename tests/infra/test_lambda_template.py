"""The template of the Lambda stack: linted, translated as AWS does, and deployed to moto."""

from __future__ import annotations

import json
import logging
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from io import StringIO
from typing import Any

import boto3
import httpx2
import pytest
import yaml
from moto.server import ThreadedMotoServer

from functions.aws.phases import NAMESPACE, Phases, write_report
from functions.aws.settings import LambdaSettings
from functions.settings_sources import variable_name
from tests.infra.tools import INFRA, ROOT, output, pinned

DIRECTORY = INFRA / "aws" / "lambda"
TEMPLATE = DIRECTORY / "template.yaml"
ZIP = {"CodeBucket": "code", "CodeKey": "embellama.zip", "PackageType": "Zip"}
IMAGE = {"ImageUri": "123456789012.dkr.ecr.eu-central-1.example/e:1", "PackageType": "Image"}
NOT_IN_MOTO = {
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
    "AWS::ApiGatewayV2::Stage",
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::CloudWatch::Alarm",
    "AWS::Lambda::Alias",
    "AWS::Logs::MetricFilter",
}
"""What is not deployed anywhere here: the linters and the properties below are all they get."""
NEEDS_WHAT_MOTO_LACKS = {"AWS::Lambda::Permission"}


_ACTION = re.compile(r"""["']((?:logs|s3|ssm|secretsmanager|kms):\w*\*?)["']""")


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "SAM_CLI_TELEMETRY": "0",
    }.items():
        monkeypatch.setenv(name, value)


@cache
def _translated(**parameters: str) -> dict[str, Any]:
    arguments = [f"{name}={value}" for name, value in parameters.items()]
    script = ROOT / "tests" / "infra" / "sam_translate.py"
    text = output([pinned("python"), script, TEMPLATE, *arguments])
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found


def _properties(name: str) -> dict[str, Any]:
    resource = _translated(**ZIP, ImageUri=IMAGE["ImageUri"])["Resources"][name]
    properties: dict[str, Any] = resource["Properties"]
    return properties


def test_cfn_lint() -> None:
    output([pinned("cfn-lint"), TEMPLATE])


def test_sam_validate() -> None:
    output([pinned("sam"), "validate", "--lint", "--template", TEMPLATE])


def test_checkov_fails_nothing_and_each_skip_has_its_reason() -> None:
    options = ["--skip-download", "--compact", "--framework", "cloudformation", "--output", "json"]
    report = json.loads(output([pinned("checkov"), *options, "--file", TEMPLATE]))
    assert report["results"]["failed_checks"] == []
    skipped = report["results"]["skipped_checks"]
    assert skipped
    assert all(check["check_result"]["suppress_comment"] for check in skipped)


def test_yaml_has_nothing_that_cloudformation_can_t_read() -> None:
    """Aliases of YAML, for one."""
    assert not re.search(r"(?m)[:\[] +[&*][A-Za-z]", TEMPLATE.read_text("utf-8"))


@pytest.mark.parametrize("name", ["ZipFunction", "ImageFunction"])
def test_a_function_has_the_parameters_and_bounded_concurrency(name: str) -> None:
    properties = _properties(name)
    assert properties["Architectures"] == [{"Ref": "Architecture"}]
    assert properties["MemorySize"] == {"Ref": "MemorySize"}
    assert properties["ReservedConcurrentExecutions"] == {"Ref": "ReservedConcurrency"}
    assert properties["LoggingConfig"] == {"LogGroup": {"Ref": "LogGroup"}}


def test_the_zip_names_a_handler_that_exists() -> None:
    handler = _properties("ZipFunction")["Handler"]
    module, _, attribute = handler.rpartition(".")
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8")
    assert f"\n{attribute} = " in source


def test_every_variable_is_an_option() -> None:
    variables = _properties("ZipFunction")["Environment"]["Variables"]
    options = {variable_name(field) for field in LambdaSettings.model_fields}
    assert set(variables) <= options


@pytest.mark.parametrize("name", ["ZipFunction", "ImageFunction"])
def test_the_gateway_calls_the_alias_which_may_be_provisioned(name: str) -> None:
    alias = _properties(f"{name}Aliaslive")
    assert alias["Name"] == "live"
    assert alias["ProvisionedConcurrencyConfig"]["Fn::If"][0] == "HasProvisioned"
    targets = {
        "Fn::If": ["IsImage", {"Ref": "ImageFunctionAliaslive"}, {"Ref": "ZipFunctionAliaslive"}]
    }
    assert _properties("Integration")["IntegrationUri"] == targets
    assert _properties("InvokePermission")["FunctionName"] == targets


def test_provisioned_concurrency_follows_use_or_a_schedule() -> None:
    resources = _translated(**ZIP, ImageUri=IMAGE["ImageUri"])["Resources"]
    assert resources["ScalableTarget"]["Condition"] == "Scales"
    assert resources["ScalingPolicy"]["Condition"] == "ScalesByUse"
    scheduled = resources["ScalableTarget"]["Properties"]["ScheduledActions"]["Fn::If"]
    assert scheduled[0] == "ScalesBySchedule"
    assert len(scheduled[1]) == 2


def test_the_gateway_throttles() -> None:
    settings = _properties("Stage")["DefaultRouteSettings"]
    assert settings["ThrottlingRateLimit"] == {"Ref": "RequestsPerSecond"}
    assert settings["ThrottlingBurstLimit"] == {"Ref": "BurstRequests"}


def test_the_role_names_each_action_and_resource() -> None:
    text = json.dumps(_properties("Role"))
    assert set(_ACTION.findall(text)) == {
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "s3:GetObject",
        "s3:ListBucket",
        "ssm:GetParameter",
        "secretsmanager:GetSecretValue",
        "kms:Decrypt",
    }
    assert '"Resource": "*"' not in text
    assert "ManagedPolicyArns" not in text


def test_the_alarms_are_those_that_were_promised() -> None:
    resources = _translated(**ZIP, ImageUri=IMAGE["ImageUri"])["Resources"]
    alarms = {
        entry["Properties"]["MetricName"]
        for entry in resources.values()
        if entry["Type"] == "AWS::CloudWatch::Alarm"
    }
    assert alarms == {"Errors", "Throttles", "Duration", "InitMilliseconds"}


def test_alarms_and_dashboard_know_the_metrics_that_the_function_writes() -> None:
    stream = StringIO()
    phases = Phases({"runtime": 0.0})
    for name in ("imports", "settings", "bundle", "session", "application", "warm_up"):
        phases.end(name)
    write_report(phases, {"FunctionName": "f"}, stream)
    [definition] = json.loads(stream.getvalue())["_aws"]["CloudWatchMetrics"]
    written = {metric["Name"] for metric in definition["Metrics"]}
    text = TEMPLATE.read_text("utf-8")
    named = set(re.findall(r"\bInit\w*Milliseconds\b", text))
    assert named <= written
    assert definition["Namespace"] == NAMESPACE
    body = _properties("Dashboard")["DashboardBody"]["Fn::Sub"]
    assert len(json.loads(body.replace("${", "{"))["widgets"]) == 4


def test_the_example_names_parameters_that_exist() -> None:
    example = tomllib.loads((DIRECTORY / "samconfig.toml.example").read_text("utf-8"))
    overrides = example["default"]["deploy"]["parameters"]["parameter_overrides"]
    names = {entry.split("=")[0] for entry in overrides}
    assert names <= set(_translated(**ZIP, ImageUri="x")["Parameters"])


@pytest.fixture
def cloud(caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    """The URL of an AWS that keeps what is deployed."""
    caplog.set_level(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    yield url
    httpx2.post(f"{url}/moto-api/reset").raise_for_status()
    server.stop()


def _client(service: str, url: str) -> Any:  # noqa: ANN401 - boto3's are made at run time
    return boto3.client(service, endpoint_url=url)  # type: ignore[call-overload]  # by name


def _deploy(url: str, parameters: dict[str, str]) -> None:
    bucket = _client("s3", url)
    bucket.create_bucket(
        Bucket="code", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    bucket.put_object(Bucket="code", Key="embellama.zip", Body=_EMPTY_ZIP)
    body = dict(_translated(**ZIP, ImageUri=IMAGE["ImageUri"]))
    body["Resources"] = {
        name: entry
        for name, entry in body["Resources"].items()
        if entry["Type"] not in NOT_IN_MOTO | NEEDS_WHAT_MOTO_LACKS
    }
    del body["Outputs"]  # They are the gateway's.
    stacks = _client("cloudformation", url)
    stacks.create_stack(
        StackName="embellama",
        TemplateBody=json.dumps(body),
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()
        ],
        Capabilities=["CAPABILITY_IAM"],
    )
    [stack] = stacks.describe_stacks(StackName="embellama")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"


_EMPTY_ZIP = b"PK\x05\x06" + bytes(18)


@pytest.mark.parametrize("package", [ZIP, IMAGE], ids=["Zip", "Image"])
def test_what_moto_can_create_is_created(
    package: dict[str, str], cloud: str, caplog: pytest.LogCaptureFixture
) -> None:
    keys = {"ApiKeyParameter": "/embellama/keys", "ModelBucket": "models"}
    _deploy(cloud, package | keys)
    said = [record.getMessage() for record in caplog.records]
    assert [line for line in said if "No Moto CloudFormation support" in line] == []
    function = _client("lambda", cloud).get_function(FunctionName="embellama")["Configuration"]
    assert function["MemorySize"] == 1769
    variables = function["Environment"]["Variables"]
    assert variables["EMBELLAMA_API_KEY_SOURCE"] == "ssm:/embellama/keys"
    groups = _client("logs", cloud).describe_log_groups()["logGroups"]
    assert {group["logGroupName"]: group["retentionInDays"] for group in groups} == {
        "/aws/lambda/embellama": 30,
        "/aws/apigateway/embellama": 30,
    }
    roles = _client("iam", cloud)
    [role] = roles.list_roles()["Roles"]
    policy = roles.get_role_policy(RoleName=role["RoleName"], PolicyName="function")
    actions = _ACTION.findall(str(policy["PolicyDocument"]))  # moto keeps it as a text
    assert actions == [
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "s3:GetObject",
        "s3:ListBucket",
        "ssm:GetParameter",
    ]
    [dashboard] = _client("cloudwatch", cloud).list_dashboards()["DashboardEntries"]
    assert dashboard["DashboardName"] == "embellama"


def test_the_list_of_what_moto_lacks_has_no_more_than_the_template() -> None:
    types = {
        entry["Type"]
        for entry in _translated(**ZIP, ImageUri=IMAGE["ImageUri"])["Resources"].values()
    }
    assert NOT_IN_MOTO <= types


def test_parameters_can_be_read_by_people() -> None:
    """Each parameter that needs one has a description."""

    class Loader(yaml.SafeLoader):
        """Takes the short forms of functions as text."""

    Loader.add_multi_constructor("!", lambda _loader, _suffix, node: str(node.value))
    parameters = yaml.load(TEMPLATE.read_text("utf-8"), Loader)["Parameters"]  # noqa: S506
    assert all(entry.get("Description") or "Default" in entry for entry in parameters.values())
