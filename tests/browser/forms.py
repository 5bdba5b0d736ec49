"""Airflow's connection pages from a user's point of view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Locator, Page

#: The form's control for each type of the metadata.
CONTROLS = {"string": "text", "number": "number", "object": "JSON editor"}

# The labelled groups of the form, without the buttons inside a group.
LABELLED_GROUP = "[role=group]:has(> div > label)"


@dataclass(frozen=True)
class FormField:
    """One field of the form with its label and help."""

    name: str
    label: str
    control: str
    placeholder: str = ""
    help: str = ""


@dataclass(frozen=True)
class TestResult:
    """The result of *Test Connection*: the colour of the button's icon, and the notification on the page."""

    colour: str
    notification: str


class ConnectionForm:
    """The dialog *Add Connection*."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.dialog = page.get_by_role("dialog")

    def choose(self, title: str) -> None:
        """Select a connection type by its title."""
        self.dialog.get_by_role("combobox").click()
        self._page.get_by_role("option", name=title, exact=True).click()

    def list_sections(self) -> list[str]:
        """Return the titles of the collapsible sections."""
        return [heading.inner_text() for heading in self.dialog.locator("button[aria-controls^=accordion]").all()]

    def open(self, section: str) -> Locator:
        """Expand a section, which collapses the others, and return it."""
        heading = self.dialog.get_by_role("button", name=section, exact=True)
        if heading.get_attribute("aria-expanded") != "true":
            heading.click()
        content = self.dialog.locator(f"[id='{heading.get_attribute('aria-controls')}']")
        content.wait_for()
        return content

    def list_fields(self, section: str) -> list[FormField]:
        """Return the fields that a section shows, from top to bottom."""
        return [_read_field(part) for part in self.open(section).locator(LABELLED_GROUP).all() if part.is_visible()]

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
        """Click *Save* and wait until the dialog is closed."""
        self.dialog.get_by_role("button", name="Save").click()
        self.dialog.wait_for(state="hidden")

    def _write(self, editor: Locator, text: str) -> None:
        """Replace the content of an editor, which is not an HTML input."""
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
        """Click *Add Connection* and select a type by its title."""
        self._page.get_by_role("button", name="Add Connection").click()
        form = ConnectionForm(self._page)
        form.choose(title)
        return form

    def get_row(self, conn_id: str) -> Locator:
        """Return the row of a connection."""
        return self._page.get_by_role("row").filter(has=self._page.get_by_role("cell", name=conn_id, exact=True))

    @property
    def notification(self) -> Locator:
        """The notification in the corner of the page."""
        return self._page.locator("[data-scope=toast][data-part=root]")

    def test(self, conn_id: str) -> TestResult:
        """Click *Test Connection* of a connection, wait for the result and return it."""
        self._page.reload()  # removes the notification that the connection was saved
        button = self.get_row(conn_id).get_by_role("button", name="Test Connection")
        button.click()
        self._page.mouse.move(0, 0)  # hides the tooltip of the button
        self.notification.wait_for()
        colour = button.locator("svg").evaluate("icon => getComputedStyle(icon).color")
        return TestResult(colour, self.notification.inner_text())


def build_expected_fields(entry: Mapping[str, Any]) -> dict[str, list[FormField]]:
    """Return the form fields of a connection type according to the provider's metadata, by section."""
    form = entry["ui-field-behaviour"]
    labels, placeholders = form["relabeling"], form["placeholders"]
    controls = {"host": "text", "password": "password", "port": "number"}
    standard = [FormField(name, labels[name], control, placeholders[name]) for name, control in controls.items()]
    extra = [
        FormField(name, field["label"], _get_control(field["schema"]), help=field["description"])
        for name, field in entry["conn-fields"].items()
    ]
    return {
        "Standard Fields": [FormField("description", "Description", "text"), *standard],
        "Extra Fields": extra,
    }


def _get_control(schema: Mapping[str, Any]) -> str:
    return "password" if schema.get("format") == "password" else CONTROLS[schema["type"][0]]


def _read_field(part: Locator) -> FormField:
    label = part.locator("label").inner_text().strip()
    help_text = part.locator("[id$=helper-text]")
    help_content = help_text.inner_text() if help_text.count() else ""
    editor = part.locator("[role=code]")
    if editor.count():
        name = part.locator("[id^=element_]").get_attribute("id") or ""
        return FormField(name.removeprefix("element_"), label, "JSON editor", help=help_content)
    control = part.locator("input, textarea")
    numeric = control.get_attribute("role") == "spinbutton"
    return FormField(
        name=(control.get_attribute("name") or "").removeprefix("element_"),
        label=label,
        control="number" if numeric else control.get_attribute("type") or "text",
        placeholder=control.get_attribute("placeholder") or "",
        help=help_content,
    )
