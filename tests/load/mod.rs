//! The load generator: every scenario once, with tiny sizes, for what it counts; and that it sees what is wrong.

use barnacle_load::Record;

use crate::broker::Broker;

/// Runs a command line of the load generator.
fn load(line: &str) -> Vec<Record> {
    barnacle_load::run(format!("barnacle-load --quiet {line}").split(' '))
        .unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn every_scenario_counts_what_it_was_to_count() {
    let out = tempfile::tempdir().expect("a temporary directory can be made");
    let records = load(&format!("all --small --out {}", out.path().display()));
    let problems: Vec<String> = records
        .iter()
        .flat_map(|record| record.problems.iter().map(move |what| format!("{}: {what}", record.scenario)))
        .collect();
    assert!(problems.is_empty(), "{problems:#?}");
    let of = |scenario: &str| records.iter().filter(|record| record.scenario == scenario).collect::<Vec<_>>();
    for (scenario, count, figure) in [
        ("machine", 1, "processors"),
        ("queue", 3, "acknowledged"),
        ("drain", 3, "delivered"),
        ("live", 2, "delivered"),
        ("rocksdb", 3, "records"),
        ("single", 1, "acknowledgement, one in flight p50"),
        ("latency", 2, "delivery p99.9"),
        ("catch-up", 2, "live traffic meanwhile, delivery p99"),
        ("subscribers", 2, "acknowledged"),
        ("fan", 3, "delivered"),
        ("restart", 2, "answers after kill -9, median"),
        ("memory", 3, "memory at the end"),
        ("storm", 2, "connected at the end"),
        ("payloads", 2, "delivered payload"),
        ("steady", 1, "write amplification"),
        ("many", 4, "acknowledged"),
    ] {
        let of = of(scenario);
        assert_eq!(of.len(), count, "records of {scenario}");
        for record in of {
            assert!(
                record.value(figure) > 0.0,
                "{scenario} {}: no {figure} in {:?}",
                record.case,
                record.figures
            );
            assert!(record.command.starts_with("barnacle-load "), "{scenario} does not say how it was made");
        }
    }
    assert!(of("storm").iter().all(|storm| storm.value("connected at the end") == 50.0));
    let read = |name: &str| std::fs::read_to_string(out.path().join(name)).expect(name);
    assert_eq!(read("results.jsonl").lines().count(), records.len());
    assert!(read("report.html").contains("<svg") && read("tables.md").contains("### catch-up"));
}

#[test]
fn a_broker_that_is_there_is_loaded_and_brokers_are_compared() {
    let broker = Broker::start();
    let address = broker.address();
    let records = load(&format!(
        "live --host 127.0.0.1 --port {} --count 500 --rate 2000 --ramp-up 0.1",
        address.port()
    ));
    assert_eq!(records.len(), 1);
    assert!(records[0].problems.is_empty() && records[0].value("delivered") > 0.0, "{records:?}");

    let records =
        load(&format!("compare --rounds 2 --brokers barnacle,mosquitto,{address} -- live --count 300"));
    let brokers: Vec<&str> = records.iter().map(|record| record.broker.as_str()).collect();
    let there = address.to_string();
    assert_eq!(brokers, ["barnacle", "mosquitto", &there, "barnacle", "mosquitto", &there]);
    assert!(records.iter().all(|record| record.problems.is_empty()), "{records:?}");
}

/// mosquitto told to keep ten messages for a session drops the others, which it has acknowledged.
#[test]
fn a_broker_that_drops_what_it_acknowledged_is_seen_to() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let profile = directory.path().join("forgetful.toml");
    let text = "command = [\"mosquitto\", \"-c\", \"{config}\"]\nconfig = \"\"\"\nlistener {port} 127.0.0.1\n\
                allow_anonymous true\nmax_queued_messages 10\n\"\"\"\n";
    std::fs::write(&profile, text).expect("a file can be written");
    let records = load(&format!("queue --drain --count 300 --patience 1 --broker {}", profile.display()));
    let problems: Vec<&String> = records.iter().flat_map(|record| &record.problems).collect();
    assert!(problems.iter().any(|problem| problem.contains("messages missing")), "{problems:?}");
}
