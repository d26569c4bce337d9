//! rumqttc, the client that most Rust programs use. Its program is this test binary, started again for one test.

use std::process::Command;
use std::thread;
use std::time::Duration;

/// Set for the program: its arguments, a line each.
pub(super) const ROLE: &str = "BARNACLE_RUMQTTC_ROLE";

/// What the program says first, behind what the test harness says.
pub(super) const BEGUN: &str = "begun";

/// This binary, as the program.
pub(super) fn command() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this process has a program"));
    command
        .args(["--exact", "clients::table::rumqttc::the_program_reaches_a_broker", "--nocapture"])
        .env(ROLE, "");
    command
}

/// As a test, it is the simplest program there is: it connects and sees its own message.
#[test]
fn the_program_reaches_a_broker() {
    if let Ok(arguments) = std::env::var(ROLE) {
        // What the test harness has begun to say ends here.
        println!("\n{BEGUN}");
        let words: Vec<&str> = arguments.lines().collect();
        return if words[2] == "5" { v5::play(&words) } else { v311::play(&words) };
    }
    let broker = crate::broker::Broker::start();
    let address = broker.address();
    let mut options = rumqttc::MqttOptions::new("alone", address.ip().to_string(), address.port());
    options.set_keep_alive(Duration::from_secs(60));
    let (client, mut connection) = rumqttc::Client::new(options, 10);
    client.subscribe("echo", rumqttc::QoS::ExactlyOnce).expect("the connection takes requests");
    client.publish("echo", rumqttc::QoS::ExactlyOnce, false, "hello").expect("the connection takes requests");
    for event in connection.iter() {
        if let rumqttc::Event::Incoming(rumqttc::Packet::Publish(publish)) =
            event.expect("the connection holds")
        {
            assert_eq!(publish.payload, "hello");
            return;
        }
    }
}

/// What differs between the library's two halves is named by the modules that use this.
macro_rules! roles {
    () => {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicU32, Ordering};

        pub(super) fn play(words: &[&str]) {
            let place = words[1].strip_prefix("mqtt://").expect("the address is of TCP");
            let (host, port) = place.split_once(':').expect("the address has a port");
            let new = |keep| options(words[3], host, port.parse().expect("the port is a number"), keep);
            match words[0] {
                "subscribe" => subscribe(new(words[6] == "1"), words),
                "publish" => publish(new(true), words),
                "clear" => clear(new(false), words[4]),
                "will" => stay(with_will(new(false), words[4], words[5])),
                "properties" => properties(new(false), words[3]),
                other => panic!("no such role: {other}"),
            }
        }

        fn quality(text: &str) -> QoS {
            match text {
                "0" => QoS::AtMostOnce,
                "1" => QoS::AtLeastOnce,
                _ => QoS::ExactlyOnce,
            }
        }

        fn subscribe(options: MqttOptions, words: &[&str]) {
            let (filter, qos) = (words[4], quality(words[5]));
            let mut left: i64 = words[7].parse().expect("a count");
            let (client, mut connection) = Client::new(options, 100);
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::ConnAck(connack))) => {
                        println!("connected {}", u8::from(connack.session_present));
                        client.subscribe(filter, qos).expect("the connection takes requests");
                    }
                    Ok(Event::Incoming(Packet::SubAck(suback))) => println!("granted {}", granted(&suback)),
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        let payload = String::from_utf8_lossy(&publish.payload);
                        let (qos, retain) = (publish.qos as u8, u8::from(publish.retain));
                        println!("{} {payload} {qos} {retain}", topic(&publish));
                        left -= 1;
                        if left == 0 {
                            client.disconnect().expect("the connection takes requests");
                        }
                    }
                    Ok(_) => {}
                    Err(_) if left == 0 => return,
                    Err(_) => thread::sleep(Duration::from_millis(200)),
                }
            }
        }

        fn publish(options: MqttOptions, words: &[&str]) {
            let (topic, qos, retain) = (words[4].to_owned(), quality(words[5]), words[6] == "1");
            let number = |text: &str| text.parse::<u32>().expect("a number");
            let (first, last) = (number(words[7]), number(words[8]));
            let (client, mut connection) = Client::new(options, 1000);
            let acknowledged = Arc::new(AtomicU32::new(0));
            let counted = Arc::clone(&acknowledged);
            thread::spawn(move || {
                for event in connection.iter() {
                    let done = match event {
                        Ok(Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_))) => true,
                        Ok(Event::Outgoing(Outgoing::Publish(0))) => true,
                        Err(_) => {
                            thread::sleep(Duration::from_millis(200));
                            false
                        }
                        _ => false,
                    };
                    counted.fetch_add(u32::from(done), Ordering::SeqCst);
                }
            });
            for number in first..=last {
                client
                    .publish(&topic, qos, retain, number.to_string())
                    .expect("the connection takes requests");
                println!("publishing {number}");
                thread::sleep(Duration::from_millis(10));
            }
            while acknowledged.load(Ordering::SeqCst) < last - first + 1 {
                thread::sleep(Duration::from_millis(2));
            }
            client.disconnect().expect("the connection takes requests");
            println!("all published");
        }

        fn clear(options: MqttOptions, topic: &str) {
            let (client, mut connection) = Client::new(options, 10);
            client.publish(topic, QoS::AtLeastOnce, true, "").expect("the connection takes requests");
            let mut events = connection.iter();
            let mut acknowledged = |event| matches!(event, Ok(Event::Incoming(Packet::PubAck(_))));
            assert!(events.any(&mut acknowledged), "it is acknowledged");
            println!("cleared");
        }

        fn stay(options: MqttOptions) {
            let (_client, mut connection) = Client::new(options, 10);
            for event in connection.iter() {
                if let Ok(Event::Incoming(Packet::ConnAck(connack))) = event {
                    println!("connected {}", u8::from(connack.session_present));
                }
            }
        }
    };
}

mod v311 {
    use rumqttc::{
        Client, Event, LastWill, MqttOptions, Outgoing, Packet, Publish, QoS, SubAck, SubscribeReasonCode,
    };

    use super::{Duration, thread};

    roles!();

    fn options(client_id: &str, host: &str, port: u16, keep: bool) -> MqttOptions {
        let mut options = MqttOptions::new(client_id, host, port);
        options.set_keep_alive(Duration::from_secs(60)).set_clean_session(!keep);
        options
    }

    fn with_will(mut options: MqttOptions, topic: &str, payload: &str) -> MqttOptions {
        options.set_last_will(LastWill::new(topic, payload, QoS::AtLeastOnce, false));
        options
    }

    fn granted(suback: &SubAck) -> u8 {
        match suback.return_codes[0] {
            SubscribeReasonCode::Success(qos) => qos as u8,
            SubscribeReasonCode::Failure => 0x80,
        }
    }

    fn topic(publish: &Publish) -> &str {
        &publish.topic
    }

    fn properties(_: MqttOptions, _: &str) {
        panic!("MQTT 3.1.1 has no properties");
    }
}

mod v5 {
    use rumqttc::Outgoing;
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::{
        LastWill, Packet, Publish, PublishProperties, SubAck, SubscribeProperties, SubscribeReasonCode,
    };
    use rumqttc::v5::{Client, Event, MqttOptions};

    use super::{Duration, thread};

    roles!();

    fn options(client_id: &str, host: &str, port: u16, keep: bool) -> MqttOptions {
        let mut options = MqttOptions::new(client_id, host, port);
        options.set_keep_alive(Duration::from_secs(60)).set_clean_start(!keep);
        options.set_session_expiry_interval(Some(if keep { 3600 } else { 0 }));
        options
    }

    fn with_will(mut options: MqttOptions, topic: &str, payload: &str) -> MqttOptions {
        options.set_last_will(LastWill::new(topic, payload.to_owned(), QoS::AtLeastOnce, false, None));
        options
    }

    fn granted(suback: &SubAck) -> u8 {
        match suback.return_codes[0] {
            SubscribeReasonCode::Success(qos) => qos as u8,
            _ => 0x80,
        }
    }

    fn topic(publish: &Publish) -> String {
        String::from_utf8_lossy(&publish.topic).into_owned()
    }

    fn properties(options: MqttOptions, client_id: &str) {
        let topic = format!("about/{client_id}");
        let (client, mut connection) = Client::new(options, 10);
        let subscription = SubscribeProperties { id: Some(7), user_properties: Vec::new() };
        client
            .subscribe_with_properties(&topic, QoS::AtLeastOnce, subscription)
            .expect("the connection takes requests");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let described = PublishProperties {
            payload_format_indicator: Some(1),
            message_expiry_interval: Some(60),
            response_topic: Some("answers".to_owned()),
            correlation_data: Some("17".into()),
            user_properties: vec![pair("a", "1"), pair("b", "2"), pair("a", "3")],
            content_type: Some("text/plain".to_owned()),
            ..PublishProperties::default()
        };
        client
            .publish_with_properties(&topic, QoS::AtLeastOnce, false, "described", described)
            .expect("the connection takes requests");
        for event in connection.iter() {
            if let Event::Incoming(Packet::Publish(publish)) = event.expect("the connection holds") {
                return describe(&publish.properties.expect("it was sent with properties"));
            }
        }
    }

    fn describe(had: &PublishProperties) {
        println!("content type {}", had.content_type.as_deref().unwrap_or_default());
        println!("response topic {}", had.response_topic.as_deref().unwrap_or_default());
        println!(
            "correlation data {}",
            String::from_utf8_lossy(had.correlation_data.as_deref().unwrap_or_default())
        );
        let pairs: Vec<String> =
            had.user_properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
        println!("user properties {}", pairs.join(" "));
        println!("format {}", had.payload_format_indicator.unwrap_or_default());
        println!("expires {}", had.message_expiry_interval.is_some_and(|left| (1..=60).contains(&left)));
        println!("identifier {}", had.subscription_identifiers[0]);
    }
}
