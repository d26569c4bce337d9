"""Publishes one message at QoS 2 and leaves when it has been acknowledged: publisher.py TOPIC PAYLOAD."""
import sys

import paho.mqtt.client as mqtt

topic, payload = sys.argv[1:]

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.connect("localhost", 1883, 60)
client.loop_start()
client.publish(topic, payload, qos=2).wait_for_publish()
client.disconnect()
client.loop_stop()
print("published", flush=True)
