"""How the documentation is built: `make docs`, without a network; its notebooks run each time."""

import importlib.metadata
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "qhyper"
author = "qhyper contributors"
release = importlib.metadata.version("qhyper")
extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "_ext"]

html_theme = "furo"
html_title = "qhyper"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# A page's commands and files belong to a folder of its own, as a user's would.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

# Docstrings name code in single backticks.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# What is not ours has no inventory here: one would have to be fetched at each build.
others = "torch|numpy|pandas|collections|pathlib|typing|matplotlib"
nitpick_ignore_regex = [("py:.*", rf"({others})\b.*")]
