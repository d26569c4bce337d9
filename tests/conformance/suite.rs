//! The table of a module's tests: what runs in which version, against the broker and against wrong responders.

use barnacle_wire::Version;

use crate::broker::Setup;
use crate::server::Server;

/// A test that runs in MQTT 3.1.1 and in MQTT 5.
pub(crate) const BOTH: &[Version] = &[Version::V311, Version::V5];
/// A test of what only MQTT 5 has.
pub(crate) const V5: &[Version] = &[Version::V5];
/// A test of what MQTT 3.1.1 has otherwise.
pub(crate) const V311: &[Version] = &[Version::V311];

/// One test.
pub(crate) struct Test {
    /// Its function's name.
    pub(crate) name: &'static str,
    /// It panics if the server does not do what it should.
    pub(crate) run: fn(&Server),
    /// The versions it runs in.
    pub(crate) versions: &'static [Version],
}

/// Runs a test against the real binary. `settings` are those of the broker that are not default.
pub(crate) fn run(test: fn(&Server), version: Version, settings: &[(&str, &str)]) {
    let setup = Setup::new().websocket();
    let broker = settings.iter().fold(setup, |setup, (key, value)| setup.setting(key, value)).start();
    test(&Server::of(&broker, version));
}

/// The tests of a module, with the versions they run in and the broker's settings that are not default:
///
/// ```ignore
/// tests! {
///     a_second_connect_ends_the_connection: BOTH;
///     the_keep_alive_is_shortened: V5, "limits.maximum_keep_alive" = "10";
/// }
/// ```
macro_rules! tests {
    (@v5 V311 $($rest:tt)*) => {};
    (@v311 V5 $($rest:tt)*) => {};
    (@v5 $versions:ident $name:ident [$($settings:tt)*]) => {
        #[test]
        fn $name() {
            crate::suite::run(super::$name, barnacle_wire::Version::V5, &[$($settings)*]);
        }
    };
    (@v311 $versions:ident $name:ident [$($settings:tt)*]) => {
        #[test]
        fn $name() {
            crate::suite::run(super::$name, barnacle_wire::Version::V311, &[$($settings)*]);
        }
    };
    ($($name:ident: $versions:ident $(, $key:literal = $value:literal)*;)+) => {
        const TESTS: &[crate::suite::Test] = &[$(crate::suite::Test {
            name: stringify!($name),
            run: $name,
            versions: crate::suite::$versions,
        }),+];

        mod v5 {
            $(tests!(@v5 $versions $name [$(($key, $value)),*]);)+
        }

        mod v311 {
            $(tests!(@v311 $versions $name [$(($key, $value)),*]);)+
        }

        #[test]
        fn every_test_fails_against_wrong_responders() {
            crate::wrong::expect_failures(TESTS);
        }
    };
}
