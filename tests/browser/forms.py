"""Airflow's pages for connections, as a person sees and uses them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Locator, Page

#: The form's control for each type of the metadata.
CONTROLS = {"string": "text", "number": "number", "object": "JSON editor"}

# The parts of the form that have a label, but not the buttons inside a part.
LABELLED = "[role=group]:has(> div > label)"


@dataclass(frozen=True)
class FormField:
    """One field of the form, with all a person is told about it."""

    name: str
    label: str
    control: str
    placeholder: str = ""
    help: str = ""


@dataclass(frozen=True)
class Tested:
    """What came of pressing *Test Connection*: the colour of the button's icon, and the notice on the page."""

    colour: str
    notice: str


class ConnectionForm:
    """The dialog *Add Connection*."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.dialog = page.get_by_role("dialog")

    def choose(self, title: str) -> None:
        """Pick a connection type by its title."""
        self.dialog.get_by_role("combobox").click()
        self._page.get_by_role("option", name=title, exact=True).click()

    def sections(self) -> list[str]:
        """Return the headings that can be opened and closed."""
        return [heading.inner_text() for heading in self.dialog.locator("button[aria-controls^=accordion]").all()]

    def open(self, section: str) -> Locator:
        """Open a section, which closes the others, and return it."""
        heading = self.dialog.get_by_role("button", name=section, exact=True)
        if heading.get_attribute("aria-expanded") != "true":
            heading.click()
        content = self.dialog.locator(f"[id='{heading.get_attribute('aria-controls')}']")
        content.wait_for()
        return content

    def fields(self, section: str) -> list[FormField]:
        """Return the fields that a section shows, from top to bottom."""
        return [_read(part) for part in self.open(section).locator(LABELLED).all() if part.is_visible()]

    def fill(self, section: str, values: Mapping[str, str]) -> None:
        """Fill in fields of a section by their names."""
        content = self.open(section)
        for name, value in values.items():
            control = content.locator(f"[name={name}], [name=element_{name}]")
            if control.count():
                control.fill(value)
            else:
                self._write(content.locator(f"#element_{name}"), value)

    def save(self) -> None:
        """Press *Save* and wait until the dialog is gone."""
        self.dialog.get_by_role("button", name="Save").click()
        self.dialog.wait_for(state="hidden")

    def _write(self, editor: Locator, text: str) -> None:
        """Replace what is in an editor, which is no field of HTML."""
        editor.locator(".view-lines").click()
        self._page.keyboard.press("ControlOrMeta+A")
        self._page.keyboard.press("Delete")
        self._page.keyboard.insert_text(text)


class ConnectionsPage:
    """The list of connections."""

    def __init__(self, page: Page, url: str) -> None:
        self._page = page
        page.goto(f"{url}/connections")

    def add(self, title: str) -> ConnectionForm:
        """Press *Add Connection* and pick a type by its title."""
        self._page.get_by_role("button", name="Add Connection").click()
        form = ConnectionForm(self._page)
        form.choose(title)
        return form

    def row(self, conn_id: str) -> Locator:
        """Return the row of a connection."""
        return self._page.get_by_role("row").filter(has=self._page.get_by_role("cell", name=conn_id, exact=True))

    @property
    def notice(self) -> Locator:
        """What the page says in its corner."""
        return self._page.locator("[data-scope=toast][data-part=root]")

    def test(self, conn_id: str) -> Tested:
        """Press a connection's *Test Connection* and wait for what comes of it."""
        self._page.reload()  # away with the notice that the connection was saved
        button = self.row(conn_id).get_by_role("button", name="Test Connection")
        button.click()
        self._page.mouse.move(0, 0)  # away from the button, whose tooltip would be in the picture
        self.notice.wait_for()
        colour = button.locator("svg").evaluate("icon => getComputedStyle(icon).color")
        return Tested(colour, self.notice.inner_text())


def documented(entry: Mapping[str, Any]) -> dict[str, list[FormField]]:
    """Return the fields that a connection type's form has by the provider's metadata, by section."""
    form = entry["ui-field-behaviour"]
    labels, placeholders = form["relabeling"], form["placeholders"]
    controls = {"host": "text", "password": "password", "port": "number"}
    standard = [FormField(name, labels[name], control, placeholders[name]) for name, control in controls.items()]
    extra = [
        FormField(name, field["label"], _control(field["schema"]), help=field["description"])
        for name, field in entry["conn-fields"].items()
    ]
    return {
        "Standard Fields": [FormField("description", "Description", "text"), *standard],
        "Extra Fields": extra,
    }


def _control(schema: Mapping[str, Any]) -> str:
    return "password" if schema.get("format") == "password" else CONTROLS[schema["type"][0]]


def _read(part: Locator) -> FormField:
    label = part.locator("label").inner_text().strip()
    help_text = part.locator("[id$=helper-text]")
    told = help_text.inner_text() if help_text.count() else ""
    editor = part.locator("[role=code]")
    if editor.count():
        name = part.locator("[id^=element_]").get_attribute("id") or ""
        return FormField(name.removeprefix("element_"), label, "JSON editor", help=told)
    control = part.locator("input, textarea")
    numeric = control.get_attribute("role") == "spinbutton"
    return FormField(
        name=(control.get_attribute("name") or "").removeprefix("element_"),
        label=label,
        control="number" if numeric else control.get_attribute("type") or "text",
        placeholder=control.get_attribute("placeholder") or "",
        help=told,
    )
