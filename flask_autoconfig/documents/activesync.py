"""Autodiscover for ActiveSync phones: the mobilesync schema (MS-ASCMD, section 4.2.4).

Phones send Outlook's request, in another namespace, to Outlook's path, and get Outlook's
errors (see :mod:`outlook`).
"""

from xml.etree import ElementTree as ET

from ..config.tables import Provider
from . import ANYBODY, Recipient, outlook
from .xml import to_bytes

CONTENT_TYPE = outlook.CONTENT_TYPE
NAMESPACE = (
    "http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006"
)


def write(provider: Provider, recipient: Recipient = ANYBODY) -> bytes | None:
    """Return the document with the server's URL (MS-ASCMD, section 2.2.3.103), or None.

    `Url` and `Name` both have the URL. `User/DisplayName` is left out: it would be the
    user's name, which is unknown.
    """
    url = outlook.exchange_url(provider, "activesync", recipient)
    if not url:
        return None
    root = ET.Element("Autodiscover", xmlns=outlook.NAMESPACE)
    response = ET.SubElement(root, "Response", xmlns=NAMESPACE)
    outlook.add(response, {"Culture": "en:us"})
    if recipient.address:
        user = ET.SubElement(response, "User")
        outlook.add(user, {"EMailAddress": str(recipient.address)})
    settings = ET.SubElement(ET.SubElement(response, "Action"), "Settings")
    server = ET.SubElement(settings, "Server")
    outlook.add(server, {"Type": "MobileSync", "Url": url, "Name": url})
    return to_bytes(root)
