"""Makes the container in Azurite, as the account's owner does."""

import base64
import email.utils
import hashlib
import hmac
import sys
import urllib.request

VERSION = "2021-08-06"
CONTAINER = "walden"

port, account, key = sys.argv[1:4]
date = email.utils.formatdate(usegmt=True)
signed = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{VERSION}\n"
signed += f"/{account}/{account}/{CONTAINER}\nrestype:container"
mac = hmac.new(base64.b64decode(key), signed.encode(), hashlib.sha256).digest()
url = f"http://127.0.0.1:{port}/{account}/{CONTAINER}?restype=container"
request = urllib.request.Request(url, method="PUT")
request.add_header("x-ms-date", date)
request.add_header("x-ms-version", VERSION)
request.add_header("Content-Length", "0")
request.add_header("Authorization", f"SharedKey {account}:{base64.b64encode(mac).decode()}")
urllib.request.urlopen(request).read()
