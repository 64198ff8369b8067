"""Django: a project of its own with the page's modules, under gunicorn, `runserver` and Django's tests."""

from pathlib import Path

from machine import check
from stories import service
from stories.service import APP

SETTINGS = """SECRET_KEY = "none"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = ["shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEBUG = False
"""
URLS = """from django.urls import path
from .views import watched
urlpatterns = [path("watched/<user>/<title>", watched)]
"""
ENTRY = """import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
"""


def project(page):
    """The files of a project with the modules of the page."""
    modules = {
        "__init__": "", "settings": SETTINGS, "urls": URLS, "events": page["events"], "views": page["view"],
        "orders": page["commit"], "tests": page["recording"],
        "wsgi": f"{ENTRY}from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
    }  # fmt: skip
    manage = f"{ENTRY}import sys\nfrom django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n"
    return {"manage.py": manage, **{f"shop/{name}.py": text for name, text in modules.items()}}


def the_first_lines_install_it(machine):
    service.prepare(machine)
    service.install(machine)
    for name, text in project(machine.page).items():
        machine.write(f"{APP}/{name}", text)


def the_check_of_a_build_needs_no_spool(machine):
    machine.run("python manage.py check", cwd=APP, user="myapp", MEDITOPIA_LIBRARY="/none")


def a_server_that_is_told_to_stop_has_delivered_what_it_acknowledged(machine):
    service.serve(machine, "serve")


def an_event_stands_for_what_the_database_has_kept(machine):
    code = """
import django, uuid
django.setup()
from shop import orders
class Order:
    pk = uuid.UUID(int=17)
    def __init__(self, fails): self.fails = fails
    def save(self):
        if self.fails: raise ValueError
try:
    orders.finish(Order(True))
except ValueError:
    pass
orders.finish(Order(False))
"""
    machine.write(f"{APP}/finish.py", code)
    machine.run("python finish.py", cwd=APP, user="myapp", DJANGO_SETTINGS_MODULE="shop.settings", MEDITOPIA_SPOOL=service.SPOOL,
                MEDITOPIA_BEARER_TOKEN_FILE="/etc/myapp/meditopia.token")  # fmt: skip
    check(machine.values("00000000-0000-0000-0000-000000000011") == ["order"], machine.events())


def the_test_of_the_page_passes_where_no_library_is(machine):
    said = machine.run("python manage.py test shop", cwd=APP, user="myapp", MEDITOPIA_LIBRARY="/none")
    check("Ran 1 test" in said and "OK" in said, said)


def a_development_machine_delivers_nothing_and_says_so(machine):
    settings = Path(f"{APP}/shop/settings.py")
    settings.write_text(SETTINGS.replace("DEBUG = False", "DEBUG = True"))
    said = machine.run("python -c 'import django; django.setup(); from shop.events import report; print(report(\"t\", 17, \"video\"))'",
                       cwd=APP, user="myapp", DJANGO_SETTINGS_MODULE="shop.settings")  # fmt: skip
    check("disabled" in said and said.endswith("True\n"), said)
    settings.write_text(SETTINGS)


def the_sandbox_runs_the_development_server(machine):
    service.sandboxed(machine)


def the_line_that_asks_why_answers(machine):
    service.asks_why(machine)
