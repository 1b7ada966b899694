// A receiver's check of webhooks with npm's standardwebhooks.
//
// Reads {"secret", "headers", "body"} from each line of standard input; prints `taken TYPE` or `refused`.

'use strict'

const readline = require('node:readline')
const { Webhook, WebhookVerificationError } = require('standardwebhooks')

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const { secret, headers, body } = JSON.parse(line)
  try {
    console.log(`taken ${new Webhook(secret).verify(body, headers).type}`)
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error
    console.log('refused')
  }
})
