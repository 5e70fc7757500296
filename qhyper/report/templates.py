"""The package's Jinja templates, filled in. jinja2 is imported where it is used."""

from importlib.resources import files
from typing import Any


def rendered(template: str, **values: Any) -> str:
    """One of the package's templates, filled in; it may include and extend others."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(lambda n: files("qhyper").joinpath(n).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
