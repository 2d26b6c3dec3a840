"""Texts as words in SQL, so that names are found by equality: no pattern is made of a name and tried on texts.

What is found must not depend on the locale or the extensions of a server.
"""

from __future__ import annotations

from integrity.statement import Statement, compose, value

# Letters with accents fall apart into the letter and marks, which go.
_MARKS = "[\\u0300-\\u036f]"
# A date, a time, a result or an amount is one word: 22 is not named in 22:00, 22/05, 6-22, $22 and 22%.
_NUMBERS = "[0-9][.,/:-][0-9]"
_JOINING = "([0-9])([.,/-](?=[0-9]+([^a-z0-9]|$))|:(?=[0-9]))"
_BETWEEN = "[^0-9a-z$%\\u00c0-\\u1fff\\u2c00-\\u2dff\\u3040-\\ud7ff\\uf900-\\ufdcf]+"


def words(text: Statement) -> Statement:
    """SQL for the words of a text as an array, without case and accents, in order."""
    return compose(
        "array_remove(regexp_split_to_array({joined}, {between}), '')", joined=_joined(text), between=value(_BETWEEN)
    )


def _joined(text: Statement) -> Statement:
    plain = _plain(text)
    return compose(
        "CASE WHEN {text} ~ {numbers} THEN regexp_replace({plain}, {joining}, {by}, 'g') ELSE {plain} END",
        text=text,
        numbers=value(_NUMBERS),
        plain=plain,
        joining=value(_JOINING),
        by=value("\\1$"),
    )


def _plain(text: Statement) -> Statement:
    return compose(
        "CASE WHEN octet_length({text}) = length({text}) THEN lower({text})"
        " ELSE lower(regexp_replace(normalize({text}, NFKD), {marks}, '', 'g')) END",
        text=text,
        marks=value(_MARKS),
    )
