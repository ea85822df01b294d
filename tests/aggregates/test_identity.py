from uuid import NAMESPACE_DNS, UUID, uuid5

from hypothesis import given, settings
from hypothesis import strategies as st

from neural_hive.aggregates.identity import NAMESPACE, SEPARATOR, derived_id


def test_the_namespace_is_derived_from_the_name_of_the_system() -> None:
    assert str(uuid5(NAMESPACE_DNS, "neural-hive")) == NAMESPACE


def test_an_id_that_is_stored_never_changes() -> None:
    assert derived_id("workflow-1", "build") == "e8f36f6f-c631-5498-834c-d6f1895027df"


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4))
def test_is_the_standard_uuid5(parts: list[str]) -> None:
    assert derived_id(*parts) == str(uuid5(UUID(NAMESPACE), SEPARATOR.join(parts)))
