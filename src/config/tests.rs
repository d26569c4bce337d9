//! The layers and their checks, from text to configuration.

use super::*;

fn load(file: &str, environment: &[(&str, &str)], flags: Overrides) -> Result<Loaded, ConfigError> {
    let path = tempfile::NamedTempFile::new().expect("a file can be made");
    std::fs::write(path.path(), file).expect("it can be written");
    let environment = environment.iter().map(|(name, value)| (OsString::from(*name), OsString::from(*value)));
    Config::load(Some(path.path()), environment, flags)
}

fn problems(text: &str) -> Vec<String> {
    let error = Config::from_toml(Path::new("barnacle.toml"), text).expect_err("the file is wrong");
    error.problems().iter().map(Problem::to_string).collect()
}

#[test]
fn the_printed_defaults_are_the_defaults() {
    let text = Config::annotated_defaults();
    let printed =
        Config::from_toml(Path::new("printed.toml"), &text).expect("the printed defaults are valid");
    assert_eq!(printed, Config::default());
    let table: toml::Table = text.parse().expect("the printed defaults are TOML");
    for setting in settings::all() {
        let value = match setting.key.split_once('.') {
            Some((section, key)) => &table[section][key],
            None => &table[setting.key],
        };
        assert_eq!(*value, setting.default, "{}", setting.key);
        assert!(text.contains(&setting.environment_variable()), "{}", setting.key);
    }
}

#[test]
fn the_defaults_are_the_promised_ones() {
    let config = Config::default();
    let listeners: Vec<_> = config.listeners().iter().map(ToString::to_string).collect();
    assert_eq!(listeners, ["mqtt://localhost:1883", "ws://localhost:8083/mqtt"]);
    assert_eq!(config.storage().durability, Durability::Fsync);
    assert!(config.storage().data_dir.is_absolute());
    assert_eq!(config.limits().max_packet_size_bytes, 1 << 20);
    assert_eq!(config.limits().max_inflight_messages.get(), 256);
    assert_eq!(config.limits().connect_timeout, Duration::from_secs(10));
    assert_eq!(config.limits().server_keep_alive_seconds, None);
    assert_eq!(
        config.session(),
        &Session { mqtt3_expiry: None, max_expiry: None, will_grace: Duration::from_secs(60) }
    );
    let origins = &config.websocket().allowed_origins;
    assert!(origins.allows("null") && origins.allows("http://localhost:3000"));
    assert!(!origins.allows("https://elsewhere.example"));
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = "[storage]\ndurability = 'os'\n[log]\nlevel = 'debug'\n[limits]\nreceive_maximum = 7\n";
    let environment =
        [("BARNACLE_STORAGE_DURABILITY", "interval:5"), ("BARNACLE_LOG_LEVEL", "trace"), ("PATH", "/bin")];
    let mut flags = Overrides::default();
    flags.set("storage.durability", "--durability", "fsync");
    let loaded = load(file, &environment, flags).expect("all layers are valid");
    assert_eq!(loaded.config.storage().durability, Durability::Fsync);
    assert_eq!(loaded.config.log().level, LogLevel::Trace);
    assert_eq!(loaded.config.limits().receive_maximum.get(), 7);
    assert_eq!(loaded.config.log().format, LogFormat::Text);
    assert_eq!(loaded.warnings, []);
}

#[test]
fn the_environment_has_numbers_lists_and_durations() {
    let environment = [
        ("BARNACLE_LISTENERS", "mqtt://127.0.0.1:0, ws://127.0.0.1:0/x"),
        ("BARNACLE_LIMITS_TOPIC_ALIAS_MAXIMUM", "0"),
        ("BARNACLE_SESSION_MQTT3_EXPIRY_SECONDS", "3600"),
        ("BARNACLE_SESSION_MAX_EXPIRY_SECONDS", "60"),
        ("BARNACLE_WEBSOCKET_ALLOWED_ORIGINS", ""),
        ("BARNACLE_CONFIG", "/read/elsewhere.toml"),
    ];
    let config = load("", &environment, Overrides::default()).expect("the environment is valid").config;
    assert_eq!(config.listeners().len(), 2);
    assert_eq!(config.limits().topic_alias_maximum, 0);
    assert_eq!(config.session().mqtt3_expiry, Some(Duration::from_secs(60)), "the shorter of the two");
    assert!(!config.websocket().allowed_origins.allows("null"));
}

#[test]
fn an_unknown_variable_is_a_warning_that_names_the_nearest() {
    let environment = [("BARNACLE_PORT", "tcp://10.0.0.1:1883"), ("BARNACLE_LOG_LEVL", "debug")];
    let loaded = load("", &environment, Overrides::default()).expect("it is only a warning");
    let warnings: Vec<_> = loaded.warnings.iter().map(Problem::to_string).collect();
    assert_eq!(warnings[0], "environment variable BARNACLE_PORT: sets nothing");
    assert_eq!(
        warnings[1],
        "environment variable BARNACLE_LOG_LEVL: sets nothing; did you mean BARNACLE_LOG_LEVEL?"
    );
}

#[test]
fn each_problem_names_file_line_and_key() {
    let text = "\
listener = ['mqtt://localhost']

[storage]
durabilty = 'os'
data_dir = 7

[limit]
receive_maximum = 1

[limits]
receive_maximum = 0
mailbox_bytes = '1 MiB'
topic_alias_maximum = 1.5

[session]
max_expiry_seconds = 'soon'
";
    assert_eq!(
        problems(text),
        [
            "barnacle.toml:1: unknown key `listener`; did you mean `listeners`?",
            "barnacle.toml:4: unknown key `storage.durabilty`; did you mean `storage.durability`?",
            "barnacle.toml:5: `storage.data_dir`: invalid type: integer `7`, expected a string",
            "barnacle.toml:7: unknown section `[limit]`; did you mean `[limits]`?",
            "barnacle.toml:11: `limits.receive_maximum`: 0 is not from 1 to 65535",
            "barnacle.toml:12: `limits.mailbox_bytes`: \"1 MiB\" is not a whole number from 65536 to 1073741824",
            "barnacle.toml:13: `limits.topic_alias_maximum`: 1.5 is not a whole number from 0 to 65535",
            "barnacle.toml:16: `session.max_expiry_seconds`: invalid value: string \"soon\", expected seconds from 0 \
             to 4294967294, or \"never\"",
        ]
    );
}

#[test]
fn values_without_a_meaning_are_refused() {
    for (text, expected) in [
        ("listeners = []", "barnacle.toml:1: `listeners`: without a listener nobody can connect"),
        ("listeners = ['tcp://x']", "the schemes are `mqtt` and `ws`"),
        ("listeners = ['mqtt://[::1]:1', 'ws://[::1]:1']", "are the same host and port"),
        (
            "[websocket]\nallowed_origins = ['https://x/']",
            "barnacle.toml:2: `websocket.allowed_origins`: `https",
        ),
        ("[storage]\ndata_dir = ''", "barnacle.toml:2: `storage.data_dir`: the directory has no name"),
        ("[storage]\ndurability = 'fast'", "`fast` is not `fsync`, `interval:MILLISECONDS` or `os`"),
        ("[log]\nlevel = 'loud'", "barnacle.toml:2: `log.level`: `loud` is not"),
        ("[log]\nformat = 'xml'", "barnacle.toml:2: `log.format`: `xml` is not"),
        ("log = 'info'", "barnacle.toml:1: `log` is a section"),
        ("[listeners]\nmqtt = 1", "barnacle.toml:1: `listeners`: invalid type: map"),
        (
            "[storage]\nwarn_free_bytes = 1048576",
            "barnacle.toml:2: `storage.warn_free_bytes`: 1048576 is less than",
        ),
        ("[limits]\nmailbox_bytes = 65536", "barnacle.toml:2: `limits.mailbox_bytes`: 65536 is less than"),
        (
            "[limits]\nmax_packet_size_bytes = 5000000",
            "barnacle.toml:2: `limits.mailbox_bytes`: 4194304 is less",
        ),
        ("[session]\nmqtt3_expiry_seconds = 4294967295", "barnacle.toml:2: `session.mqtt3_expiry_seconds`"),
        ("[log]\nlevel = 'info'\nlevel = 'warn'", "barnacle.toml:3: duplicate key"),
        ("[log\n", "barnacle.toml:1: "),
    ] {
        let problems = problems(text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(expected), "{text}: {}", problems[0]);
    }
}

#[test]
fn every_limit_is_the_last_value_that_is_accepted() {
    for setting in settings::all() {
        let (Some((section, key)), Some(limits)) = (setting.key.split_once('.'), &setting.limits) else {
            continue;
        };
        let with = |number: u64| {
            // The largest mailbox goes with any packet size, the smallest packet with any mailbox.
            let beside = match setting.key {
                "limits.max_packet_size_bytes" => "mailbox_bytes = 1073741824",
                "limits.mailbox_bytes" => "max_packet_size_bytes = 1024",
                // Any watermark goes with the greatest warning, any warning with the least watermark.
                "storage.min_free_bytes" => "warn_free_bytes = 1099511627776",
                "storage.warn_free_bytes" => "min_free_bytes = 1048576",
                _ => "",
            };
            Config::from_toml(Path::new("x"), &format!("[{section}]\n{key} = {number}\n{beside}\n"))
        };
        assert!(with(*limits.start()).is_ok(), "{}", setting.key);
        assert!(with(*limits.end()).is_ok(), "{}", setting.key);
        assert!(with(limits.end() + 1).is_err(), "{}", setting.key);
        if let Some(below) = limits.start().checked_sub(1) {
            assert!(with(below).is_err(), "{}", setting.key);
        }
    }
}

#[test]
fn a_problem_names_the_variable_or_the_flag_it_comes_from() {
    let mut flags = Overrides::default();
    flags.set("storage.durability", "--durability", "fast");
    let error = load("", &[("BARNACLE_LIMITS_RECEIVE_MAXIMUM", "many")], flags).expect_err("both are wrong");
    let text = error.to_string();
    assert!(text.contains(
        "environment variable BARNACLE_LIMITS_RECEIVE_MAXIMUM: `limits.receive_maximum`: \"many\""
    ));
    assert!(text.contains("--durability: `storage.durability`: `fast` is not"), "{text}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Config::load(Some(Path::new("/nowhere/barnacle.toml")), [], Overrides::default());
    let text = error.expect_err("there is no such file").to_string();
    assert!(text.starts_with("/nowhere/barnacle.toml: cannot be read: "), "{text}");
}

#[test]
fn a_value_that_is_not_text_is_refused_rather_than_changed() {
    use std::os::unix::ffi::OsStringExt as _;
    let path = OsString::from_vec(b"/data/\xff".to_vec());
    let error = Config::load(None, [("BARNACLE_STORAGE_DATA_DIR".into(), path)], Overrides::default());
    let text = error.expect_err("it is not UTF-8").to_string();
    assert_eq!(text, "environment variable BARNACLE_STORAGE_DATA_DIR: is not UTF-8");
}
