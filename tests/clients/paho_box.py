"""A box written with paho-mqtt: subscribes to one topic and prints the first message that comes.

Usage: paho_box.py HOST PORT CA CERT KEY CLIENT_ID TOPIC  (CERT and KEY may be "-": none)
Prints `granted N` for the answer to the subscription and `message TOPIC BASE64` for the message.
Ends with 0 after a message, 3 when the subscription was refused, 4 when the connection was.
"""

import base64
import ssl
import sys

import paho.mqtt.client as mqtt


def new_client(client_id):
    if hasattr(mqtt, "CallbackAPIVersion"):
        return mqtt.Client(mqtt.CallbackAPIVersion.VERSION1, client_id=client_id, clean_session=True)
    return mqtt.Client(client_id=client_id, clean_session=True)


def main():
    host, port, ca, cert, key, client_id, topic = sys.argv[1:]
    ended = []

    def end(client, code):
        ended.append(code)
        client.disconnect()

    def on_connect(client, _userdata, _flags, code):
        if code != 0:
            return end(client, 4)
        client.subscribe(topic, qos=1)

    def on_subscribe(client, _userdata, _mid, granted):
        print("granted", granted[0], flush=True)
        if granted[0] >= 0x80:
            end(client, 3)

    def on_message(client, _userdata, message):
        payload = base64.b64encode(message.payload).decode()
        print("message", message.topic, payload, flush=True)
        end(client, 0)

    client = new_client(client_id)
    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
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
