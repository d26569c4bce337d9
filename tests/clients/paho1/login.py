"""Gives a name and a password, as every program of an installation that has them; an open broker takes them."""
import paho.mqtt.client as mqtt


def on_connect(client, userdata, flags, rc):
    print("connected:", rc, flush=True)
    client.subscribe("echo", qos=1)


def on_subscribe(client, userdata, mid, granted_qos):
    client.publish("echo", "let in", qos=1)


def on_message(client, userdata, message):
    print(message.payload.decode(), flush=True)
    client.disconnect()


client = mqtt.Client()
client.username_pw_set("gardener", "tomatoes")
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.connect("localhost", 1883, 60)
client.loop_forever()
