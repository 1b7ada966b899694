"""A receiver's check of webhooks with PyPI's standardwebhooks. Input and output are those of verify_webhook.js."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    message = json.loads(line)
    try:
        taken = Webhook(message["secret"]).verify(message["body"], message["headers"])
        print("taken", taken["type"])
    except WebhookVerificationError:
        print("refused")
