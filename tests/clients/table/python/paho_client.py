"""One program for each thing a client does, with Paho Python 1.6 and 2.x: see ../../table/mod.rs for what is asked and said.

paho_client.py ROLE ADDRESS VERSION ARGUMENTS...
"""
import sys
import threading
import time
from urllib.parse import urlparse

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

role, address, version = sys.argv[1:4]
arguments = sys.argv[4:]
place = urlparse(address)
v5 = version == "5"
connected = threading.Event()
subscribed = threading.Event()


def say(*words):
    print(*words, flush=True)


def properties_of(packet_type, **values):
    properties = Properties(packet_type)
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


def make(client_id, keep):
    """A client; `keep`: its session outlives its connection."""
    options = {"client_id": client_id, "protocol": mqtt.MQTTv5 if v5 else mqtt.MQTTv311}
    if not v5:
        options["clean_session"] = not keep
    if hasattr(mqtt, "CallbackAPIVersion"):
        options["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION2
    client = mqtt.Client(**options)
    client.reconnect_delay_set(min_delay=1, max_delay=1)
    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    return client


def connect(client, keep):
    if v5:
        expiry = properties_of(PacketTypes.CONNECT, SessionExpiryInterval=3600 if keep else 0)
        client.connect(place.hostname, place.port, 60, clean_start=not keep, properties=expiry)
    else:
        client.connect(place.hostname, place.port, 60)


def on_connect(client, userdata, flags, *rest):
    present = flags["session present"] if isinstance(flags, dict) else flags.session_present
    if role in ("subscribe", "will"):
        say("connected", int(present))
    connected.set()
    if role == "subscribe":
        client.subscribe(arguments[1], qos=int(arguments[2]))


def on_subscribe(client, userdata, mid, granted, *rest):
    if role == "subscribe":
        say("granted", getattr(granted[0], "value", granted[0]))
    subscribed.set()


def subscribe():
    client_id, _, _, keep, count = arguments
    client = make(client_id, keep == "1")
    left = [int(count)]

    def on_message(client, userdata, message):
        say(message.topic, message.payload.decode(), message.qos, int(message.retain))
        left[0] -= 1
        if left[0] == 0:
            client.disconnect()

    client.on_message = on_message
    connect(client, keep == "1")
    client.loop_forever()


def publish():
    client_id, topic, qos, retain, first, last = arguments
    client = make(client_id, True)
    published = set()
    client.on_publish = lambda client, userdata, mid, *rest: published.add(mid)
    connect(client, True)
    client.loop_start()
    for number in range(int(first), int(last) + 1):
        client.publish(topic, str(number), qos=int(qos), retain=retain == "1")
        say("publishing", number)
        time.sleep(0.01)
    # A message that is published while the connection is away counts too, once it has been sent after all.
    while len(published) < int(last) - int(first) + 1:
        time.sleep(0.01)
    client.disconnect()
    client.loop_stop()
    say("all published")


def clear():
    client_id, topic = arguments
    client = make(client_id, False)
    connect(client, False)
    client.loop_start()
    client.publish(topic, b"", qos=1, retain=True).wait_for_publish()
    client.disconnect()
    client.loop_stop()
    say("cleared")


def will():
    client_id, topic, payload = arguments
    client = make(client_id, False)
    client.will_set(topic, payload, qos=1)
    connect(client, False)
    client.loop_forever()


def properties():
    (client_id,) = arguments
    client = make(client_id, False)

    def on_message(client, userdata, message):
        had = message.properties
        say("content type", had.ContentType)
        say("response topic", had.ResponseTopic)
        say("correlation data", had.CorrelationData.decode())
        say("user properties", " ".join(f"{name}={value}" for name, value in had.UserProperty))
        say("format", had.PayloadFormatIndicator)
        say("expires", str(0 < had.MessageExpiryInterval <= 60).lower())
        say("identifier", had.SubscriptionIdentifier[0])
        client.disconnect()

    client.on_message = on_message
    connect(client, False)
    client.loop_start()
    connected.wait()
    identifier = properties_of(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=7)
    client.subscribe("about/" + client_id, options=SubscribeOptions(qos=1), properties=identifier)
    subscribed.wait()
    described = properties_of(
        PacketTypes.PUBLISH,
        ContentType="text/plain",
        ResponseTopic="answers",
        CorrelationData=b"17",
        UserProperty=[("a", "1"), ("b", "2"), ("a", "3")],
        PayloadFormatIndicator=1,
        MessageExpiryInterval=60,
    )
    client.publish("about/" + client_id, "described", qos=1, properties=described)
    client._thread.join()


{"subscribe": subscribe, "publish": publish, "clear": clear, "will": will, "properties": properties}[role]()
