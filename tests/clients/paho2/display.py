"""Shows what `meter` says. It keeps its session, so nothing is missed while it or the broker is away."""
import paho.mqtt.client as mqtt


def on_connect(client, userdata, flags, reason_code, properties):
    print("connected, session present:", int(flags.session_present), flush=True)
    client.subscribe("meter", qos=2)


def on_subscribe(client, userdata, mid, reason_codes, properties):
    print("subscribed", flush=True)


def on_disconnect(client, userdata, flags, reason_code, properties):
    print("disconnected", flush=True)


def on_message(client, userdata, message):
    print(message.payload.decode(), flush=True)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="display", clean_session=False)
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_disconnect = on_disconnect
client.on_message = on_message
client.connect("localhost", 1883, 60)
client.loop_forever()
