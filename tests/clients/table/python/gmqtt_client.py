"""The same with gmqtt, a client of its own hand for asyncio: gmqtt_client.py ROLE ADDRESS VERSION ARGUMENTS..."""
import asyncio
import sys
from urllib.parse import urlparse

import gmqtt
from gmqtt.mqtt.constants import MQTTv311, MQTTv50
from gmqtt.storage import PersistentStorage

role, address, version = sys.argv[1:4]
arguments = sys.argv[4:]
place = urlparse(address)
v5 = version == "5"
# What was published and not acknowledged; sent again from here.
unacknowledged = PersistentStorage()


def say(*words):
    print(*words, flush=True)


def make(client_id, keep, **options):
    """A client; `keep`: its session outlives its connection."""
    if v5 and keep:
        options["session_expiry_interval"] = 3600
    client = gmqtt.Client(client_id, clean_session=not keep, persistent_storage=unacknowledged, **options)
    client.set_config({"reconnect_delay": 0.2, "reconnect_retries": -1})
    return client


async def connect(client):
    await client.connect(place.hostname, place.port, version=MQTTv50 if v5 else MQTTv311)


async def subscribe():
    client_id, topic, qos, keep, count = arguments
    client = make(client_id, keep == "1")
    left = int(count)
    over = asyncio.Event()

    def on_connect(client, flags, code, properties):
        # gmqtt hands over the byte of CONNACK as it is.
        say("connected", flags & 1)
        client.subscribe(topic, qos=int(qos))

    def on_subscribe(client, mid, granted, properties):
        say("granted", granted[0])

    def on_message(client, topic, payload, qos, properties):
        nonlocal left
        say(topic, payload.decode(), qos, properties["retain"])
        left -= 1
        if left == 0:
            over.set()
        return 0

    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.on_message = on_message
    await connect(client)
    await over.wait()
    await client.disconnect()


async def publish():
    client_id, topic, qos, retain, first, last = arguments
    client = make(client_id, True)
    await connect(client)
    for number in range(int(first), int(last) + 1):
        client.publish(topic, str(number), qos=int(qos), retain=retain == "1")
        say("publishing", number)
        await asyncio.sleep(0.01)
    await unacknowledged.wait_empty()
    await client.disconnect()
    say("all published")


async def clear():
    client_id, topic = arguments
    client = make(client_id, False)
    await connect(client)
    client.publish(topic, b"", qos=1, retain=True)
    await unacknowledged.wait_empty()
    await client.disconnect()
    say("cleared")


async def will():
    client_id, topic, payload = arguments
    client = make(client_id, False, will_message=gmqtt.Message(topic, payload, qos=1))
    client.on_connect = lambda client, flags, code, properties: say("connected", flags & 1)
    await connect(client)
    await asyncio.Event().wait()


async def properties():
    (client_id,) = arguments
    client = make(client_id, False)
    subscribed, over = asyncio.Event(), asyncio.Event()

    def on_message(client, topic, payload, qos, had):
        say("content type", had["content_type"][0])
        say("response topic", had["response_topic"][0])
        say("correlation data", had["correlation_data"][0].decode())
        say("user properties", " ".join(f"{name}={value}" for name, value in had["user_property"]))
        say("format", had["payload_format_id"][0])
        say("expires", str(0 < had["message_expiry_interval"][0] <= 60).lower())
        say("identifier", had["subscription_identifier"][0])
        over.set()
        return 0

    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = on_message
    await connect(client)
    client.subscribe("about/" + client_id, qos=1, subscription_identifier=7)
    await subscribed.wait()
    client.publish(
        "about/" + client_id,
        "described",
        qos=1,
        content_type="text/plain",
        response_topic="answers",
        correlation_data=b"17",
        user_property=[("a", "1"), ("b", "2"), ("a", "3")],
        payload_format_id=1,
        message_expiry_interval=60,
    )
    await over.wait()
    await client.disconnect()


asyncio.run({"subscribe": subscribe, "publish": publish, "clear": clear, "will": will, "properties": properties}[role]())
