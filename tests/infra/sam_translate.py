"""Run by the infra environment's Python: a SAM template and its parameters -> CloudFormation."""

from __future__ import annotations

import json
import sys

from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.public.translator import Translator

with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123 - as few imports as it takes
    template = yaml_parse(file.read())
parameters = dict(argument.split("=", 1) for argument in sys.argv[2:])
print(json.dumps(Translator({}, Parser()).translate(template, parameters), default=str))
