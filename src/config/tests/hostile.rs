//! Whatever the owner writes, the answer is a configuration or faults: never a panic, never a
//! second line in a fault, never a token.

use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;

use super::super::{access, endpoint, except, fault, file, folder, mapping, proxy, window};
use super::*;
use crate::limits::CONFIG_FILE_MAX;

/// Pieces of which broken files are made.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "thing",
        "default",
        "[tunnel]",
        "[routes.r]",
        "[routes]",
        "[[routes]]",
        "[routes.r.q]",
        "[notify]",
        "[proxy]",
        "[access]",
        "[places]",
        "[paths]",
        "endpoint",
        "port",
        "certificate",
        "key",
        "url",
        "except",
        "windows",
        "key-switch",
        "tunnels",
        "runtime",
        "\"mon 00:00-24:00\"",
        "\"gpiochip0:1\"",
        "\"/run\"",
        "[",
        "]",
        "{",
        "}",
        "target",
        "stall",
        "connections",
        "pace",
        "=",
        " = ",
        ".",
        ",",
        "\n",
        "\r\n",
        "\"",
        "'",
        "\"\"\"",
        "#",
        "\"h:1\"",
        "\"10s\"",
        "1",
        "-1",
        "0x1f",
        "1_000",
        "1e9",
        "nan",
        "true",
        "07:32:00",
        "\\",
        "\\u00e9",
        "\u{0}",
        "é",
        "\u{feff}",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// Each fault on one line; all of them in the text.
fn check(faults: &Faults) {
    for fault in faults.iter() {
        let said = fault.to_string();
        assert!(!said.chars().any(char::is_control), "{said:?}");
    }
    assert!(faults.len() > 0);
}

fn read_file(text: &str) {
    let mut faults = Faults::none();
    let path = Path::new("cellgate.toml");
    let content = file::parse(path, text, &mut faults, &mut Vec::new());
    if faults.len() > 0 {
        check(&faults);
    }
    drop(content);
}

proptest! {
    #[test]
    fn no_text_is_too_odd_for_the_file(text in any::<String>()) {
        read_file(&text);
    }

    #[test]
    fn no_almost_toml_is_too_odd_for_the_file(text in pieces()) {
        read_file(&text);
    }

    #[test]
    fn a_good_file_with_one_cut_or_one_insertion(at in 0..GOOD.len(), to in 0..GOOD.len(), piece in pieces()) {
        // The handbook's file is ASCII: every offset is a border.
        read_file(&format!("{}{}", &GOOD[..at], &GOOD[to..]));
        read_file(&format!("{}{piece}{}", &GOOD[..at], &GOOD[at..]));
    }

    #[test]
    fn no_command_line_is_too_odd(args in prop::collection::vec(prop_oneof![
        prop::collection::vec(1..=255u8, 0..20),
        prop::sample::select(vec!["-t", "-i", "-d", "-r", "-e", "-k", "-s", "--config", "--config-dir", "--verbose=", "--", "-", "-=", "-t=", "-c"])
            .prop_map(|flag| flag.as_bytes().to_vec()),
        "-[a-zA-Z=]{1,4}[ -~]{0,8}".prop_map(String::into_bytes),
        "--[a-z-]{1,12}(=[ -~]{0,8})?".prop_map(String::into_bytes),
    ], 0..12)) {
        let args = args.into_iter().map(OsString::from_vec);
        if let Err(faults) = Config::load(args, &mut |_| Some("x y".into())) {
            check(&faults);
            prop_assert!(!faults.to_string().contains("x y"));
        }
    }

    #[test]
    fn no_mapping_is_too_odd(text in "[a-z0-9=:,./\\[\\] \\x00-\\xff]{0,40}") {
        let mut faults = Faults::none();
        let place = Place::Flag("-d".into());
        let mapping = mapping::parse(&text, &place, &mut faults);
        // Something comes of it, or something is said.
        prop_assert_eq!(mapping.is_none(), faults.len() > 0);
        let _ = endpoint::Endpoint::parse(&text);
    }

    #[test]
    fn no_value_of_a_section_is_too_odd(text in prop_oneof![
        any::<String>(),
        "[a-z,-]{0,8} [0-9:-]{0,12}",
        "(https?://)?[a-z%0-9@:/\\[\\].]{0,40}",
        "gpiochip[0-9:/.]{0,10}",
    ]) {
        let _ = window::Window::parse(&text);
        let _ = access::KeySwitch::parse(&text);
        if let Some(found) = except::Except::parse(&text) {
            found.has(&text, None);
        }
        match proxy::Proxy::parse(&text) {
            Ok(proxy) => {
                proxy.applies(&text);
            }
            Err(misfit) => {
                let said = misfit.at(Place::Whole).to_string();
                prop_assert!(text.len() < 12 || !said.contains(&text));
            }
        }
    }

    #[test]
    fn a_good_target_is_shown_as_it_was_written(text in "[a-z0-9.:\\[\\]-]{1,20}") {
        if let Ok(target) = Target::parse(&text) {
            let again = Target::parse(&target.to_string());
            prop_assert_eq!(again.ok(), Some(target));
        }
    }

    #[test]
    fn no_map_is_too_odd(text in prop_oneof![any::<String>(), pieces()]) {
        let mut faults = Faults::none();
        folder::Map::default().parse(Path::new("x.ini"), &text, &mut faults, &mut Vec::new());
        if faults.len() > 0 {
            check(&faults);
        }
    }
}

#[test]
fn the_largest_file_is_read_in_reasonable_time() {
    let mut text = String::new();
    while text.len() < CONFIG_FILE_MAX - 10 {
        text.push_str("a.b.c=1\n");
    }
    read_file(&text);
    read_file(&"[".repeat(CONFIG_FILE_MAX));
    read_file(&"x = {".repeat(CONFIG_FILE_MAX / 5));
}

#[test]
fn values_are_quoted_in_bounds() {
    assert_eq!(fault::quoted("a\"\n\u{1b}"), "\"a\\\"\\n\\u{1b}\"");
    let long = fault::quoted(&"é".repeat(1000));
    assert_eq!(long.chars().count(), 63);
}
