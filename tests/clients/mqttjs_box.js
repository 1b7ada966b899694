// A box written with MQTT.js: subscribes to one topic, beats once, prints the first message that comes.
//
// Usage: mqttjs_box.js HOST PORT CA CERT KEY CLIENT_ID VERSION TOPIC BEAT_TOPIC BEAT
// Arguments, output and exit codes are those of paho_box.py, but for a subscription that was refused: MQTT.js tells of no
// code, so it prints `refused`. NODE_PATH says where MQTT.js is.

'use strict'

const fs = require('node:fs')
const mqtt = require('mqtt')

const [host, port, ca, cert, key, clientId, version, topic, beatTopic, beat] = process.argv.slice(2)
const missing = new Set(['message', 'acknowledged'])

const client = mqtt.connect({
  protocol: 'mqtts',
  host,
  port: Number(port),
  ca: fs.readFileSync(ca),
  ...(cert === '-' ? {} : { cert: fs.readFileSync(cert), key: fs.readFileSync(key) }),
  clientId,
  protocolVersion: version === '5' ? 5 : 4,
  clean: true,
  reconnectPeriod: 0,
})

function end (code) {
  process.exitCode = code
  client.end()
}

function done (what) {
  missing.delete(what)
  if (missing.size === 0) end(0)
}

process.exitCode = 4

client.on('connect', () => {
  client.subscribe(topic, { qos: 1 }, (error, granted) => {
    console.log(error ? 'refused' : `granted ${granted[0].qos}`)
    if (error) return end(3)
    client.publish(beatTopic, beat, { qos: 1 }, (refused) => {
      if (refused) return end(5)
      console.log('acknowledged')
      done('acknowledged')
    })
  })
})

client.on('message', (from, payload) => {
  console.log('message', from, payload.toString('base64'))
  done('message')
})

client.on('error', (error) => {
  console.log('no connection:', error.message)
  client.end(true)
})
