"""A notebook as an HTML page that needs no network."""

import re
from html import escape

from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer
from nbformat.v4 import new_markdown_cell, new_notebook

# JupyterLab's own template, without the scripts that it would fetch.
TEMPLATE = """{%- extends "lab/index.html.j2" -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_css -%}
<style>mtd[columnalign=right] { text-align: right } mtd[columnalign=left] { text-align: left }</style>
{%- endblock -%}
{%- block data_png scoped -%}
{{ super() | replace("<img", '<img alt="%s"' % cell.metadata.alt) }}
{%- endblock -%}"""


def page(notebook, name):
    """The page's HTML; the description of a picture names the section that it stands in."""
    heading = name
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = (re.findall(r"^#+ (.+)", cell.source, re.M) or [heading])[-1]
        cell.metadata["alt"] = escape(f"Picture in the section “{heading}”; the text below says what to see")
    exporter = HTMLExporter(raw_template=TEMPLATE)
    html, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": name}})
    return re.sub(r'href="(\d\d_\w+)\.ipynb', r'href="\1.html', html)


def formulas(text):
    """The page of docs/formulas.md, to print."""
    return page(new_notebook(cells=[new_markdown_cell(text)]), "formulas")


def equation(tex, display="block"):
    """MathML of an equation, or its source, if that is no TeX."""
    try:
        # latex2mathml knows `split`, which looks like `aligned`, and leaves \_ as it is in text.
        return convert(tex.replace("{aligned}", "{split}"), display=display).replace(r"\_", "_")
    except Exception:  # there are many, and no common one
        return f"<code>{escape(tex)}</code>"


IPythonRenderer.inline_math = lambda self, tex: equation(tex, "inline")
IPythonRenderer.block_math = lambda self, tex: equation(tex)
IPythonRenderer.latex_environment = lambda self, name, tex: equation(rf"\begin{{{name}}}{tex}\end{{{name}}}")
