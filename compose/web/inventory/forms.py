"""The one form."""

from django import forms

from inventory.models import Item


class ItemForm(forms.ModelForm):  # type: ignore[type-arg]
    """An item; how much there is changes by movements, too."""

    class Meta:
        """All that a person enters."""

        model = Item
        fields = ("name", "kind", "location", "supplier", "unit", "quantity", "minimum")
