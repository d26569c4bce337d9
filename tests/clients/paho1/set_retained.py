"""Leaves a value for those who come later: set_retained.py TOPIC VALUE; an empty value clears it."""
import sys

import paho.mqtt.client as mqtt

topic, value = sys.argv[1:]

client = mqtt.Client()
client.connect("localhost", 1883, 60)
client.loop_start()
client.publish(topic, value, qos=1, retain=True).wait_for_publish()
client.disconnect()
client.loop_stop()
print("set", flush=True)
