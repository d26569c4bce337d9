//! Programs as users write them, with the libraries they use, against the broker as it is started without options.
//!
//! The programs stand in `tests/clients/`: Paho Python 1.6 (`paho1`) and 2.x (`paho2`), MQTT.js (`mqttjs`), and
//! `mosquitto_pub` and `mosquitto_sub`. They say `localhost:1883` and `ws://localhost:8083/mqtt`, as programs do, so
//! these ports have to be free, and one test runs at a time. `tools/setup/test.sh` installs the libraries.

mod mosquitto;
mod mqttjs;
mod paho;
mod program;
mod table;

use program::Program;

use crate::broker::Broker;
