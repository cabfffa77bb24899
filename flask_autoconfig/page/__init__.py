"""The page for people: which settings to enter where, at `/mail/setup`.

Its words are English in the code and in the template `autoconfig/setup.html`; `locale/`
has a gettext catalog for each other language.
"""
