"""What a member fills in; whether it may be done is for the verbs to say."""

from typing import Any

from django import forms

from teams.polls import MOST_CHOICES

LONGEST_CHOICE = 200


class Ask(forms.Form):
    """A question with its answers, one on each line."""

    question = forms.CharField(max_length=500)
    choices = forms.CharField(
        label="Answers", widget=forms.Textarea({"rows": 3}), help_text=f"One on each line, 2 to {MOST_CHOICES}."
    )

    def clean_choices(self) -> list[str]:
        lines: list[str] = [line.strip() for line in self.cleaned_data["choices"].splitlines() if line.strip()]
        if not 2 <= len(lines) <= MOST_CHOICES:
            raise forms.ValidationError(f"Give 2 to {MOST_CHOICES} answers, one on each line.")
        if any(len(line) > LONGEST_CHOICE for line in lines):
            raise forms.ValidationError(f"An answer has at most {LONGEST_CHOICE} characters.")
        return lines


class Tell(forms.Form):
    """A message."""

    message = forms.CharField(max_length=5_000, widget=forms.Textarea({"rows": 4}))


def refuse(form: forms.Form, error: Any) -> None:
    """A refusal of a verb, beside its field where the form has it."""
    form.add_error(error.field if error.field in form.fields else None, str(error))
