"""Subscribes in on_connect and prints what comes, for ever. No client identifier: the broker's business."""
import paho.mqtt.client as mqtt


def on_connect(client, userdata, flags, rc):
    print("connected:", rc, flush=True)
    client.subscribe(("test", 2))


def on_subscribe(client, userdata, mid, granted_qos):
    print("subscribed, QoS", granted_qos[0], flush=True)


def on_message(client, userdata, message):
    print(f"{message.topic}: {message.payload.decode()} (QoS {message.qos})", flush=True)


client = mqtt.Client()
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.connect("localhost", 1883, 60)
client.loop_forever()
