//! Where the store is when nobody says.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The default of `storage.data_dir`, from the environment of this process.
pub(super) fn default_data_dir() -> String {
    choose(std::env::var_os("XDG_STATE_HOME"), std::env::var_os("HOME"))
}

/// State is what a program keeps between runs, which the XDG Base Directory Specification puts under
/// `$XDG_STATE_HOME`, `~/.local/state` when that is not set; it asks to ignore relative paths. A service without a
/// home has the place that the Filesystem Hierarchy Standard names.
fn choose(state_home: Option<OsString>, home: Option<OsString>) -> String {
    let absolute = |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute(state_home).or_else(|| {
        // A system account often has "/" as its home, which is no place for anybody's state.
        absolute(home).filter(|home| home != Path::new("/")).map(|home| home.join(".local/state"))
    });
    // TOML is UTF-8: a path that is not cannot be printed as a default, and is passed over.
    state
        .and_then(|state| state.join("barnacle").into_os_string().into_string().ok())
        .unwrap_or_else(|| "/var/lib/barnacle".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_state_home_then_the_home_then_the_system() {
        let some = |text: &str| Some(OsString::from(text));
        assert_eq!(choose(some("/state"), some("/home/ann")), "/state/barnacle");
        assert_eq!(choose(None, some("/home/ann")), "/home/ann/.local/state/barnacle");
        assert_eq!(choose(some("relative"), some("/home/ann")), "/home/ann/.local/state/barnacle");
        assert_eq!(choose(None, None), "/var/lib/barnacle");
        assert_eq!(choose(some(""), some("/")), "/var/lib/barnacle");
    }
}
