# SPDX-License-Identifier: GPL-2.0
"""Sphinx's settings for `make doc`."""

project = "dm-loop"
author = "The dm-loop authors"
root_doc = "index"
html_theme = "alabaster"
# Tables with words in code type are wider than a narrow page.
html_theme_options = {"page_width": "70em"}
