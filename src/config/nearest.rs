//! The key that somebody probably meant.

use super::settings;

/// How a key is wrong, with what was probably meant: the whole message for an unknown key.
pub(super) fn unknown_key(key: &str) -> String {
    let keys = || settings::all().iter().map(|setting| setting.key);
    if settings::SECTIONS.iter().any(|section| section.name == key) {
        let of_section: Vec<_> = keys()
            .filter(|candidate| candidate.split_once('.').is_some_and(|(section, _)| section == key))
            .collect();
        return format!("`{key}` is a section, not a setting; in it are {}", of_section.join(", "));
    }
    match nearest(key, keys()) {
        Some(near) => format!("unknown key `{key}`; did you mean `{near}`?"),
        None => format!("unknown key `{key}`; `barnacle config default` lists all keys"),
    }
}

/// How a section is wrong, with what was probably meant.
pub(super) fn unknown_section(name: &str) -> String {
    match nearest(name, settings::SECTIONS.iter().map(|section| section.name).filter(|name| !name.is_empty()))
    {
        Some(near) => format!("unknown section `[{name}]`; did you mean `[{near}]`?"),
        None => format!("unknown section `[{name}]`; `barnacle config default` lists all sections"),
    }
}

/// The candidate that is nearest to `word`, if any is near: a slip of the pen, a forgotten unit, another section.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= (word.len() / 3).max(2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn distance(word: &str, candidate: &str) -> usize {
    // A key in the wrong section is nearer than a different key in the right one.
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let (word_last, candidate_last) = (last(word), last(candidate));
    let of_last = if candidate_last.starts_with(&format!("{word_last}_")) {
        1
    } else {
        strsim::damerau_levenshtein(&word_last, &candidate_last) + 1
    };
    of_last.min(strsim::damerau_levenshtein(&word.to_ascii_lowercase(), candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(word: &str) -> Option<&'static str> {
        nearest(word, settings::all().iter().map(|setting| setting.key))
    }

    #[test]
    fn the_nearest_key_is_named() {
        assert_eq!(key("storage.durabilty"), Some("storage.durability"));
        assert_eq!(key("storage.data-dir"), Some("storage.data_dir"));
        assert_eq!(key("limits.max_packet_size"), Some("limits.max_packet_size_bytes"));
        assert_eq!(key("durability"), Some("storage.durability"));
        assert_eq!(key("limits.durability"), Some("storage.durability"));
        assert_eq!(key("Listeners"), Some("listeners"));
        assert_eq!(key("listener"), Some("listeners"));
        assert_eq!(key("limits.colour"), None);
    }

    #[test]
    fn a_section_is_not_a_setting() {
        assert_eq!(unknown_key("log"), "`log` is a section, not a setting; in it are log.level, log.format");
        assert_eq!(unknown_section("limit"), "unknown section `[limit]`; did you mean `[limits]`?");
    }
}
