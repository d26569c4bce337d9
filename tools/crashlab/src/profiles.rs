//! The profiles of brokers that come with the crash lab.

use barnacle_brokers::Shelf;

/// The profiles that come with the crash lab.
pub const PROFILES: Shelf = Shelf {
    profiles: &[
        ("barnacle", include_str!("../profiles/barnacle.toml")),
        ("barnacle-interval", include_str!("../profiles/barnacle-interval.toml")),
        ("barnacle-os", include_str!("../profiles/barnacle-os.toml")),
        ("barnacle-planted", include_str!("../profiles/barnacle-planted.toml")),
        ("mosquitto", include_str!("../profiles/mosquitto.toml")),
        ("mosquitto-autosave", include_str!("../profiles/mosquitto-autosave.toml")),
        ("mosquitto-persistence", include_str!("../profiles/mosquitto-persistence.toml")),
        ("nats", include_str!("../profiles/nats.toml")),
        ("rabbitmq", include_str!("../profiles/rabbitmq.toml")),
    ],
};

#[cfg(test)]
mod tests {
    use super::PROFILES;

    #[test]
    fn every_shipped_profile_is_one() {
        for name in PROFILES.names() {
            let profile = PROFILES.load(name).expect(name);
            assert_eq!(profile.name, name);
            assert!(!profile.about.is_empty(), "{name} says nothing about itself");
        }
    }
}
