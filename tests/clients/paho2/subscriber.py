"""Subscribes in on_connect and prints what comes, for ever. No client identifier: the broker's business."""
import paho.mqtt.client as mqtt


def on_connect(client, userdata, flags, reason_code, properties):
    print("connected:", reason_code, flush=True)
    client.subscribe(("test", 2))


def on_subscribe(client, userdata, mid, reason_codes, properties):
    print("subscribed, QoS", reason_codes[0].value, flush=True)


def on_message(client, userdata, message):
    print(f"{message.topic}: {message.payload.decode()} (QoS {message.qos})", flush=True)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.connect("localhost", 1883, 60)
client.loop_forever()
