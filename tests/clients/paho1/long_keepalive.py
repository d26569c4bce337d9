"""A keep-alive of 6000 seconds, as battery devices ask for; echoes one message to itself and leaves."""
import paho.mqtt.client as mqtt


def on_connect(client, userdata, flags, rc):
    print("connected:", rc, flush=True)
    client.subscribe("echo", qos=1)


def on_subscribe(client, userdata, mid, granted_qos):
    client.publish("echo", "still here", qos=1)


def on_message(client, userdata, message):
    print(message.payload.decode(), flush=True)
    client.disconnect()


client = mqtt.Client()
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.connect("localhost", 1883, keepalive=6000)
client.loop_forever()
