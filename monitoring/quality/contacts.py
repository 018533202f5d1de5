"""What contact data say about a record without saying whose: usable or not, and keys that are equal for equal values.

The normal forms are those of the import (`data.derive`). Names, addresses and numbers are read here and forgotten here.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from data.derive import blank_to_none, contact_completeness, email_domain_kind, person_key

if TYPE_CHECKING:
    import duckdb

__all__ = ["ContactKeys", "contact_keys", "prepare_contact_keys"]

# Legal forms tell two spellings of one company apart and not two companies.
_LEGAL = re.compile(
    r"\b(?:incorporated|inc|corporation|corp|company|co|limited|ltd|llc|plc|gmbh|ag|kg|sarl|sas|sa|bv|nv|oy|ab|pty|srl|spa)\b"
    r"|(?:股份)?有限(?:责任)?公司|集团|公司"
)


class ContactKeys(NamedTuple):
    """Of one contact: whether e-mail and phone can be used, and keys of e-mail, phone and company with name."""

    email_kind: str | None
    phone_usable: bool
    email_key: str | None
    phone_key: str | None
    name_key: str | None


def contact_keys(name: str | None, email: str | None, phone: str | None, company: str | None) -> ContactKeys:
    """Return what is derived from one contact; no key can be read back by whoever does not know the value.

    Examples
    --------
    >>> told = contact_keys("Li Wei", "li@acme.example", "138 0013 8000", "Acme, Inc.")
    >>> told.email_kind, told.phone_usable
    ('corporate', True)
    >>> told.name_key == contact_keys("LI  WEI", None, None, "ACME").name_key
    True
    >>> contact_keys("n/a", "none", "1", "Acme")
    ContactKeys(email_kind=None, phone_usable=False, email_key=None, phone_key=None, name_key=None)
    """
    return ContactKeys(
        email_domain_kind(email),
        contact_completeness(None, None, phone) > 0,
        person_key(None, email, None) if email else None,
        person_key(None, None, phone) if phone else None,
        _name_key(name, company),
    )


def _name_key(name: str | None, company: str | None) -> str | None:
    who, where = _letters(name), _letters(_LEGAL.sub(" ", (company or "").casefold()))
    return hashlib.sha256(f"{where}/{who}".encode()).hexdigest()[:16] if who and where else None


def _letters(text: str | None) -> str:
    bare = blank_to_none(text)
    return "" if bare is None else re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", bare).casefold())


def prepare_contact_keys(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `quality_keys(moment, lead_id, email_kind, phone_usable, email_key, phone_key, name_key)`.

    Parameters
    ----------
    connection
        On which `prepare_records` was called.
    """
    import pyarrow as pa

    rows = connection.execute(
        "SELECT DISTINCT contact, name, email, phone, company FROM quality_contacts ORDER BY ALL"
    ).fetchall()
    told = [(row[0], row[4], *contact_keys(*row[1:])) for row in rows]
    names = ("contact", "company", *ContactKeys._fields)
    kinds = (pa.string(), pa.string(), pa.string(), pa.bool_(), *[pa.string()] * 3)
    columns = list(zip(*told, strict=True)) or [()] * len(names)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    connection.register("incoming_keys", pa.table(arrays, names=list(names)))
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE quality_keys AS SELECT c.moment, c.lead_id, k.* EXCLUDE (contact, company) "
        "FROM quality_contacts AS c JOIN incoming_keys AS k "
        "ON k.contact = c.contact AND k.company IS NOT DISTINCT FROM c.company"
    )
    connection.unregister("incoming_keys")
    connection.execute("DROP TABLE quality_contacts")
