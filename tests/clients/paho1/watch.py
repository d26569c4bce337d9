"""Prints what comes on a filter and whether it was retained, for ever: watch.py FILTER."""
import sys

import paho.mqtt.client as mqtt


def on_connect(client, userdata, flags, rc):
    client.subscribe(sys.argv[1], qos=1)


def on_subscribe(client, userdata, mid, granted_qos):
    print("watching", flush=True)


def on_message(client, userdata, message):
    kind = "retained" if message.retain else "live"
    print(f"{kind} {message.topic}: {message.payload.decode()}", flush=True)


client = mqtt.Client()
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.connect("localhost", 1883, 60)
client.loop_forever()
