//! PINGREQ and PINGRESP (sections 3.12 and 3.13).

use barnacle_wire::{Publish, Subscribe, packets};

use crate::server::Server;

tests! {
    every_pingreq_is_answered: BOTH;
}

/// As many PINGREQs as come are answered, each with one PINGRESP, also when they come in one piece and between other
/// packets; a message on its way is not held up by them.
/// [MQTT5 3.12.4-1] [MQTT311 3.12.4-1]
fn every_pingreq_is_answered(server: &Server) {
    let mut client = server.client("pinging");
    client.subscribe(&Subscribe::new(1, "between", 0));
    let ping = packets::ping();
    let message = Publish::new("between", "pings");
    client.send(&[ping.clone(), ping.clone(), message.encode(server.version), ping].concat());
    let mut answers = [(); 4].map(|()| client.receive());
    answers.sort_by_key(|packet| matches!(packet, barnacle_wire::Packet::Publish(_)));
    let [first, second, third, last] = answers;
    assert_eq!([first, second, third], [(); 3].map(|()| barnacle_wire::Packet::PingResp));
    assert_eq!(last, barnacle_wire::Packet::Publish(message));
    client.ping();
}
