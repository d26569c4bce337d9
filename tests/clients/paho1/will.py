"""A device with a will, and the ways in which it may end: will.py exit|disconnect|stay KEEPALIVE."""
import sys
import threading
import time

import paho.mqtt.client as mqtt

ending, keepalive = sys.argv[1:]
connected = threading.Event()


def on_connect(client, userdata, flags, rc):
    print("connected:", rc, flush=True)
    connected.set()


client = mqtt.Client()
client.on_connect = on_connect
client.will_set("status/pump", "lost", qos=1)
client.connect("localhost", 1883, int(keepalive))
client.loop_start()
connected.wait()

if ending == "exit":
    sys.exit("the pump broke")  # and nobody calls disconnect()
if ending == "disconnect":
    client.disconnect()
    client.loop_stop()
if ending == "stay":
    time.sleep(3600)
