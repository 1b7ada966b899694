"""A box written with paho-mqtt: subscribes to one topic, beats once, prints the first message that comes.

Usage: paho_box.py HOST PORT CA CERT KEY CLIENT_ID VERSION TOPIC BEAT_TOPIC BEAT
VERSION is 311 or 5; CERT and KEY may be "-": none; BEAT is the heartbeat's text.
Prints `granted N` for the answer to the subscription, `acknowledged` for the PUBACK of the beat and
`message TOPIC BASE64` for the message. Ends with 0 after message and PUBACK, 3 when the subscription was refused,
4 when the connection was.
"""

import base64
import ssl
import sys

import paho.mqtt.client as mqtt


def new_client(client_id, version):
    options = {"client_id": client_id}
    if version == "5":
        options["protocol"] = mqtt.MQTTv5
    else:
        options.update(protocol=mqtt.MQTTv311, clean_session=True)
    if hasattr(mqtt, "CallbackAPIVersion"):
        return mqtt.Client(mqtt.CallbackAPIVersion.VERSION1, **options)
    return mqtt.Client(**options)


def number(code):
    """A return code of 3.1.1 is a number, a reason code of 5 an object that has one."""
    return getattr(code, "value", code)


def main():
    host, port, ca, cert, key, client_id, version, topic, beat_topic, beat = sys.argv[1:]
    ended, missing = [], {"message", "acknowledged"}

    def end(client, code):
        ended.append(code)
        client.disconnect()

    def done(client, what):
        missing.discard(what)
        if not missing:
            end(client, 0)

    def on_connect(client, _userdata, _flags, code, _properties=None):
        if number(code) != 0:
            return end(client, 4)
        client.subscribe(topic, qos=1)

    def on_subscribe(client, _userdata, _mid, granted, _properties=None):
        print("granted", number(granted[0]), flush=True)
        if number(granted[0]) >= 0x80:
            return end(client, 3)
        client.publish(beat_topic, beat, qos=1)

    def on_publish(client, _userdata, _mid):
        print("acknowledged", flush=True)
        done(client, "acknowledged")

    def on_message(client, _userdata, message):
        payload = base64.b64encode(message.payload).decode()
        print("message", message.topic, payload, flush=True)
        done(client, "message")

    client = new_client(client_id, version)
    client.on_connect, client.on_subscribe = on_connect, on_subscribe
    client.on_publish, client.on_message = on_publish, on_message
    own = (None, None) if cert == "-" else (cert, key)
    client.tls_set(ca_certs=ca, certfile=own[0], keyfile=own[1], cert_reqs=ssl.CERT_REQUIRED)
    try:
        client.connect(host, int(port), keepalive=30)
        # Until a callback ends it, or the server the connection.
        while not ended and client.loop(timeout=0.2) == mqtt.MQTT_ERR_SUCCESS:
            pass
    except OSError as error:
        print("no connection:", error, flush=True)
    sys.exit(ended[0] if ended else 4)


main()
