from __future__ import annotations

import pytest

from engine.engine import Engine
from functions.app import create_app
from functions.route_names import RouteNames
from functions.settings import Settings


@pytest.mark.parametrize(
    ("path", "root", "name"),
    [
        ("/v1/embeddings", "", "/v1/embeddings"),
        ("/v1/models/org/model", "", "/v1/models/{model_id:path}"),
        ("/prod/v1/models/m", "/prod", "/v1/models/{model_id:path}"),
        ("/admin/models/a/b/reload", "", "/admin/models/{name:path}/reload"),
        ("/v1/none", "", None),
        ("", "", None),
    ],
)
def test_a_path_is_named_as_its_route(
    path: str, root: str, name: str | None, engine: Engine
) -> None:
    routes = create_app(Settings(admin_key="secret"), engine).routes
    assert RouteNames(routes).find({"path": path, "root_path": root}) == name
