"""The one page of the small application: a form made from the model's columns. HTML, no script.

Here: the fields, the template, what the browser may do. Not here: what the form's answer is.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.bundle import Bundle
from shared.values import text_of

LEVELS = 200
"""Levels of a category that are suggested."""

_HINTS = {
    "numeric": "a number",
    "boolean": "true or false",
    "category": "a text",
    "datetime": "a time such as 2013-07-01T15:30:00",
}


@dataclass(frozen=True)
class Field:
    """One column of the form.

    Args:
        name: the column's.
        kind: the column's.
        hint: what may be written.
        levels: texts to suggest.
        value: what stands in it.
    """

    name: str
    kind: str
    hint: str
    levels: Sequence[str]
    value: str


def fields(bundle: Bundle, values: Mapping[str, str]) -> list[Field]:
    """The columns that a request must bring, with `values` in them."""
    levels = {one.name: one.levels[:LEVELS] for one in bundle.transforms.vocabularies}
    return [
        Field(
            column.name,
            column.kind,
            _HINTS[column.kind] + ("; may be empty" if column.nullable else ""),
            levels.get(column.name, ()),
            values.get(column.name, ""),
        )
        for column in bundle.schema.columns
    ]


def example(bundle: Bundle) -> dict[str, str]:
    """Values to begin with: the golden row with the fewest gaps."""
    row = min(bundle.golden.records, key=lambda row: list(row.values()).count(None))
    return {name: "" if value is None else text_of(value) for name, value in row.items()}


STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 40rem; padding: 0 1rem;
  color: #1a1a1a; background: #fff; }
label { display: block; font-weight: 600; margin-top: 1rem; }
input, select { font: inherit; width: 100%; box-sizing: border-box; padding: .4rem;
  border: 1px solid #595959; border-radius: .2rem; }
input:focus, select:focus, button:focus { outline: 3px solid #0b57d0; outline-offset: 1px; }
[aria-invalid] { border: 2px solid #b3261e; }
button { font: inherit; margin: 1.5rem 0; padding: .5rem 1.5rem; }
small { color: #4d4d4d; }
.mistake { border-left: .3rem solid #b3261e; padding-left: 1rem; }
.answer { border-left: .3rem solid #146c2e; padding-left: 1rem; }
dt { font-weight: 600; } dd { margin: 0 0 .5rem; }
pre { overflow-x: auto; background: #f2f2f2; padding: .5rem; }
"""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'sha256-"
        + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
        + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Nothing from elsewhere, no script, no other style than the page's own."""

TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ 'Mistake: ' if mistake }}{{ project }}</title>
<style>{{ style|safe }}</style>
</head>
<body>
<main>
<h1>{{ project }}</h1>
<p>Model {{ version }} answers with {{ target }}.</p>
{%- if mistake %}
<p class="mistake" role="alert" id="mistake">{{ mistake }}</p>
{%- endif %}
{%- if prediction %}
<section class="answer" role="status">
<h2>Prediction</h2>
<dl>
{%- for name, value in prediction.items() %}
<dt>{{ name }}</dt><dd>{{ value }}</dd>
{%- endfor %}
</dl>
</section>
{%- endif %}
<form method="post" action="{{ url_for('page') }}">
{%- for field in fields %}
{%- set id = 'field' ~ loop.index %}
{%- set state -%}
aria-describedby="{{ id }}-hint{{ ' mistake' if field.name == column }}"
{{- ' aria-invalid="true"'|safe if field.name == column }}
{%- endset %}
<label for="{{ id }}">{{ field.name }}</label>
{%- if field.kind == 'boolean' %}
<select id="{{ id }}" name="{{ field.name }}" {{ state }}>
{%- for option in ('', 'true', 'false') %}
<option{{ ' selected' if option == field.value }}>{{ option }}</option>
{%- endfor %}
</select>
{%- else %}
<input id="{{ id }}" name="{{ field.name }}" value="{{ field.value }}" autocomplete="off"
{{- ' inputmode=decimal' if field.kind == 'numeric' }}
{%- if field.levels %} list="{{ id }}-levels"{% endif %} {{ state }}>
{%- endif %}
<small id="{{ id }}-hint">{{ field.hint }}</small>
{%- if field.levels %}
<datalist id="{{ id }}-levels">
{%- for level in field.levels %}
<option value="{{ level }}"></option>
{%- endfor %}
</datalist>
{%- endif %}
{%- endfor %}
<button>Predict</button>
</form>
<h2>From a program</h2>
<pre>curl -H 'Content-Type: application/json' {{ url_for('invocations', _external=True) }} -d \
'{"instances": [{{ '{' }}…{{ '}' }}]}'</pre>
</main>
</body>
</html>
"""
