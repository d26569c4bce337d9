//! One table: what every client library has to show against this broker, and the programs that show it.
//!
//! A program is written in the library's own world and does one thing at a time, told by its command line:
//! `PROGRAM ROLE ADDRESS VERSION ARGUMENTS...`, where the version is 4 or 5. It says on standard output:
//!
//! - `subscribe CLIENT FILTER QOS KEEP COUNT`: `connected SESSION-PRESENT`, `granted QOS`, then each message as `TOPIC PAYLOAD QOS
//!   RETAIN`; disconnects after so many of them, never if 0. With KEEP its session outlives its connection. It reconnects by the
//!   library's own means, and says so again;
//! - `publish CLIENT TOPIC QOS RETAIN FIRST LAST`: `publishing N` for each number of the range, 10 ms apart, and `all published`
//!   when all are acknowledged, however often the connection breaks;
//! - `clear CLIENT TOPIC`: `cleared` when an empty retained message is acknowledged;
//! - `will CLIENT TOPIC PAYLOAD`: `connected 0`, and it stays;
//! - `properties CLIENT` (MQTT 5): a line for each property of a message that it has sent itself.

mod cases;
mod document;
mod mosquitto;
mod rumqttc;
mod samples;
mod tap;
mod worlds;

use std::process::Command;

use tempfile::TempDir;

use super::Program;
use crate::broker::{Broker, Setup};

/// What is shown, and the name of the test that shows it.
pub(crate) const FEATURES: [(&str, &str); 5] = [
    ("connect, QoS 0, 1, 2", "messages_come_at_every_qos"),
    ("retained", "a_retained_message_is_found_and_cleared"),
    ("will", "a_will_comes_when_the_program_is_killed"),
    ("session across a kill", "a_session_lives_through_a_killed_broker"),
    ("MQTT 5 properties", "properties_come_as_they_were_sent"),
];

/// A client library in a version of the protocol.
pub(crate) struct Library {
    /// As the document calls it.
    pub(crate) name: &'static str,
    /// The module of its tests.
    pub(crate) module: &'static str,
    /// 4 or 5.
    pub(crate) version: &'static str,
    pub(crate) transport: Transport,
    /// Its program, without arguments.
    pub(crate) program: fn() -> Command,
}

/// How the client reaches the broker.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    WebSocket,
}

impl Library {
    /// The QoS at which its session is shown. rumqttc 0.25 forgets with its connection which PUBLISH of QoS 2 it has had, and
    /// breaks the next one off at each PUBREL of them, instead of answering PUBCOMP: it never gets further.
    fn session_qos(&self) -> &'static str {
        if self.module.starts_with("rumqttc") { "1" } else { "2" }
    }

    /// Whether it hands a PUBLISH to its program again when it is sent again after a reconnect. What the broker sends it is
    /// listened to: see `Tap::times_sent`.
    fn delivers_again(&self) -> bool {
        ["gmqtt", "rumqttc", "fusesource"].iter().any(|name| self.module.starts_with(name))
    }

    /// A broker of its own, on free ports.
    fn broker() -> Broker {
        Setup::new().websocket().start()
    }

    fn start(&self, broker: &Broker, role: &str, arguments: &[&str]) -> Program {
        let address = match self.transport {
            Transport::Tcp => format!("mqtt://{}", broker.address()),
            Transport::WebSocket => format!("ws://{}/mqtt", broker.websocket_address()),
        };
        self.start_at(&address, role, arguments)
    }

    fn start_at(&self, address: &str, role: &str, arguments: &[&str]) -> Program {
        let mut command = (self.program)();
        let words: Vec<&str> =
            [role, address, self.version].into_iter().chain(arguments.iter().copied()).collect();
        // rumqttc's program is a test of this binary, and a test has no command line of its own.
        let is_test = command.get_envs().any(|(name, _)| name == rumqttc::ROLE);
        if is_test {
            command.env(rumqttc::ROLE, words.join("\n"));
        } else {
            command.args(&words);
        }
        let place =
            TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("the target directory can be written");
        let mut program = Program::run_in(&format!("{} {role}", self.module), command, place);
        if is_test {
            program.wait_for(rumqttc::BEGUN);
        }
        program
    }
}

macro_rules! libraries {
    ($($module:ident: $name:literal, $version:tt, $transport:ident, $program:path;)*) => {
        /// All of them.
        pub(crate) const LIBRARIES: &[Library] = &[$(Library {
            name: $name,
            module: stringify!($module),
            version: libraries!(@number $version),
            transport: Transport::$transport,
            program: $program,
        },)*];

        $(mod $module {
            use super::{LIBRARIES, Library, cases};

            fn library() -> &'static Library {
                let mut all = LIBRARIES.iter();
                all.find(|library| library.module == stringify!($module)).expect("it is made from the same list")
            }

            #[test]
            fn messages_come_at_every_qos() {
                cases::messages_come_at_every_qos(library());
            }

            #[test]
            fn a_retained_message_is_found_and_cleared() {
                cases::a_retained_message_is_found_and_cleared(library());
            }

            #[test]
            fn a_will_comes_when_the_program_is_killed() {
                cases::a_will_comes_when_the_program_is_killed(library());
            }

            #[test]
            fn a_session_lives_through_a_killed_broker() {
                cases::a_session_lives_through_a_killed_broker(library());
            }

            libraries!(@properties $version);
        })*
    };
    (@number v311) => { "4" };
    (@number v5) => { "5" };
    (@properties v311) => {};
    (@properties v5) => {
        #[test]
        fn properties_come_as_they_were_sent() {
            cases::properties_come_as_they_were_sent(library());
        }
    };
}

libraries! {
    paho1_v311: "Paho Python 1.6, 3.1.1", v311, Tcp, worlds::paho1;
    paho1_v5: "Paho Python 1.6, 5.0", v5, Tcp, worlds::paho1;
    paho2_v311: "Paho Python 2.x, 3.1.1", v311, Tcp, worlds::paho2;
    paho2_v5: "Paho Python 2.x, 5.0", v5, Tcp, worlds::paho2;
    gmqtt_v311: "gmqtt, 3.1.1", v311, Tcp, worlds::gmqtt;
    gmqtt_v5: "gmqtt, 5.0", v5, Tcp, worlds::gmqtt;
    paho_c_v311: "Paho C, 3.1.1", v311, Tcp, worlds::paho_c;
    paho_c_v5: "Paho C, 5.0", v5, Tcp, worlds::paho_c;
    fusesource_v311: "FuseSource mqtt-client (Java), 3.1.1", v311, Tcp, worlds::java;
    mqttjs_v311: "MQTT.js, 3.1.1", v311, Tcp, worlds::node;
    mqttjs_v5: "MQTT.js, 5.0", v5, Tcp, worlds::node;
    mqttjs_websocket_v311: "MQTT.js over WebSocket, 3.1.1", v311, WebSocket, worlds::node;
    mqttjs_websocket_v5: "MQTT.js over WebSocket, 5.0", v5, WebSocket, worlds::node;
    chromium_v311: "MQTT.js in Chromium, 3.1.1", v311, WebSocket, worlds::chromium;
    chromium_v5: "MQTT.js in Chromium, 5.0", v5, WebSocket, worlds::chromium;
    rumqttc_v311: "rumqttc, 3.1.1", v311, Tcp, rumqttc::command;
    rumqttc_v5: "rumqttc, 5.0", v5, Tcp, rumqttc::command;
}
