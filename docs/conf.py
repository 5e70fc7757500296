"""How the documentation is built: `make docs`, without a network; its notebooks run each time."""

import importlib.metadata
import os
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
sys.path.insert(0, str(HERE.parent))  # `classical`, and `qhyper` where it is not installed

project = "qhyper"
author = "qhyper contributors"
release = importlib.metadata.version("qhyper")
extensions = ["myst_nb", "sphinx.ext.autodoc", "docstrings", "reference"]
exclude_patterns = ["_build", "_ext"]

html_theme = "furo"
html_title = "qhyper"
html_static_path = ["_static"]
html_css_files = ["qhyper.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
smartquotes = False  # --option stays what it is
pygments_style = "friendly"
pygments_dark_style = "github-dark"

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
suppress_warnings = ["config.cache"]  # of functions in here, which no two builds share

# A page's commands and files belong to a folder of its own, as a user's would.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
# Cells call `qhyper` of this environment; its tables are 80 columns of plain text.
os.environ["PATH"] = str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]
os.environ |= {"COLUMNS": "80", "JUPYTER_COLUMNS": "80", "TTY_COMPATIBLE": "0"}
os.environ["OMP_NUM_THREADS"] = "1"  # pages are built side by side
os.environ["IPYTHONDIR"] = tempfile.mkdtemp()
startup = Path(os.environ["IPYTHONDIR"]) / "profile_default" / "startup"
startup.mkdir(parents=True)
shutil.copy(HERE / "_ext" / "startup.py", startup)

# Docstrings name code in single backticks.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"exclude-members": "model_config"}
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
# What is not ours has no inventory here: one would have to be fetched at each build. Of ours, a
# type that a signature names need not have a page; whatever is written as `qhyper.Name` has to.
others = "torch|numpy|pandas|collections|pathlib|typing|matplotlib|types|np|npt|contextlib"
nitpick_ignore_regex = [
    ("py:.*", rf"({others})\b.*"),
    ("py:class", r"(qhyper|classical)\.\w+\..+|[A-Z]\w+"),
]
