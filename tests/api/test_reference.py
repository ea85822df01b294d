"""The reference is the code's."""

from neural_hive.api.openapi import describe
from neural_hive.api.permissions import PERMISSIONS
from neural_hive.api.reference import markdown
from neural_hive.api.routes import ROUTES
from tests.docs.pages import ROOT


def test_the_reference_is_up_to_date() -> None:
    written = (ROOT / "docs" / "api-reference.md").read_text()
    assert written == markdown(describe(ROUTES)), (
        "make it anew: python -m neural_hive.api.reference > docs/api-reference.md"
    )


def test_every_route_says_what_it_does_and_for_whom() -> None:
    document = describe(ROUTES)
    told = {(method.upper(), path) for path, found in document["paths"].items() for method in found}
    assert PERMISSIONS.keys() - told == {("GET", "/openapi.json"), ("GET", "/docs")}
    for path, found in document["paths"].items():
        for method, operation in found.items():
            permission = PERMISSIONS[method.upper(), path]
            assert operation["description"] and operation["tags"], path
            assert set(operation.get("x-roles", ())) == set(permission.roles)
            assert permission.is_open == (operation["security"] == [])
