"""Runs the story of one page, in the machine that test.sh has made for it: run.py PAGE.md BUILD RELEASE"""

import importlib
import sys
import traceback
from pathlib import Path

from machine import Machine
from page import Page

page = Page(sys.argv[1])
machine = Machine(page, *sys.argv[2:4])
story = importlib.import_module(f"stories.{page.name}")
for told in [getattr(story, name) for name in vars(story) if name.startswith(("the_", "a_", "an_"))]:
    sentence = told.__name__.replace("_", " ")
    try:
        told(machine)
    except Exception:
        traceback.print_exc()
        print(machine.said(), file=sys.stderr)
        sys.exit(f"FAILED: {Path(sys.argv[1]).name}: {sentence}")
    print(f"ok {page.name}: {sentence}", flush=True)
if page.unused():
    sys.exit(f"FAILED: {page.name}.md: no test runs the block {', '.join(page.unused())}")
