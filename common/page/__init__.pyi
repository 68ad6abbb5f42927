from .answers import NoSuchPage, page_number, saved_page
from .forms import read_form, session_of
from .opening import PageFlags, open_page
from .settings import PageSettings, is_secret
from .site import Pages, Site

__all__ = [
    "NoSuchPage",
    "PageFlags",
    "PageSettings",
    "Pages",
    "Site",
    "is_secret",
    "open_page",
    "page_number",
    "read_form",
    "saved_page",
    "session_of",
]
