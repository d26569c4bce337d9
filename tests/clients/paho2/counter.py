"""A meter that counts, and does not mind when the broker is away: each number once, at QoS 2.

counter.py FIRST LAST: publishes the numbers on `meter`, one every ten milliseconds.
"""
import sys
import time

import paho.mqtt.client as mqtt

first, last = map(int, sys.argv[1:])
published = set()


def on_publish(client, userdata, mid, reason_code, properties):
    published.add(mid)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="meter", clean_session=False)
client.on_publish = on_publish
client.connect("localhost", 1883, 60)
client.loop_start()
for number in range(first, last + 1):
    client.publish("meter", number, qos=2)
    print("publishing", number, flush=True)
    time.sleep(0.01)
while len(published) < last - first + 1:
    time.sleep(0.01)
client.disconnect()
client.loop_stop()
print("all published", flush=True)
