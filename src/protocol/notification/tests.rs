//! Payloads as AWS sends them, and as others do.

use proptest::prelude::*;

use super::*;

const TOKEN: &str = "AQGAAXiSentinelToken0123456789+/=";

fn payload(fields: &str) -> String {
    format!("{{{}}}", fields.replace("TOKEN", TOKEN))
}

const GOOD: &str =
    r#""clientAccessToken":"TOKEN","clientMode":"destination","region":"eu-central-1""#;

fn parse(fields: &str) -> Result<Notification, PayloadError> {
    let text = payload(fields);
    let parsed = Notification::parse(text.as_bytes());
    if let Err(error) = &parsed {
        assert!(!format!("{error} {error:?}").contains(TOKEN), "{error}");
    }
    parsed
}

#[test]
fn a_notification_as_aws_sends_it() {
    let found = parse(
        r#""clientAccessToken":"TOKEN","clientMode":"destination","region":"us-east-1","services":["robot1","SSH"]"#,
    )
    .expect("good");
    assert_eq!(found.access_token.expose(), TOKEN);
    assert_eq!(found.region, Region::new("us-east-1"));
    let services = found.services.expect("two");
    let names: Vec<&str> = services.iter().map(ServiceId::as_str).collect();
    assert_eq!(names, ["robot1", "SSH"]);
}

#[test]
fn what_may_differ() {
    for (more, count) in [
        ("", None),
        (r#","services":[]"#, None),
        (r#","services":["a","a","b"]"#, Some(2)),
        (r#","new":{"deep":[[[{"clientMode":"source"}]]]}"#, None),
        (r#","tunnel":null,"n":1.5e3"#, None),
        (r#","services":["a:b_c-D9"]"#, Some(1)),
    ] {
        let found = parse(&format!("{GOOD}{more}")).expect(more);
        assert_eq!(found.services.map(|list| list.len()), count, "{more}");
    }
    let spaced = payload(GOOD).replace(':', " :\n\t");
    assert!(Notification::parse(spaced.as_bytes()).is_ok());
    // A writer that escapes the slash, as PHP's does.
    let escaped = payload(GOOD).replace('/', "\\/");
    let found = Notification::parse(escaped.as_bytes()).expect("escaped");
    assert_eq!(found.access_token.expose(), TOKEN);
}

#[test]
fn hostile_fields_are_named() {
    use PayloadError as E;
    let long = format!(
        r#""clientAccessToken":"{}","clientMode":"destination","region":"eu-central-1""#,
        "t".repeat(ACCESS_TOKEN_MAX + 1)
    );
    let many = format!(
        r#"{GOOD},"services":[{}]"#,
        (0..=DECLARED_MAX)
            .map(|n| format!("\"s{n}\""))
            .collect::<Vec<_>>()
            .join(",")
    );
    let service = format!(r#"{GOOD},"services":["a","{}"]"#, "s".repeat(129));
    for (fields, expected) in [
        ("", E::Missing(Field::Mode)),
        (
            r#""clientMode":"destination","region":"a""#,
            E::Missing(Field::Token),
        ),
        (
            r#""clientMode":"destination","clientAccessToken":"TOKEN""#,
            E::Missing(Field::Region),
        ),
        (
            r#""clientMode":"source","clientAccessToken":"TOKEN","region":"a""#,
            E::Source,
        ),
        (
            r#""clientMode":"TOKEN","clientAccessToken":"TOKEN","region":"a""#,
            E::Mode,
        ),
        (
            r#""clientMode":"Destination","clientAccessToken":"TOKEN","region":"a""#,
            E::Mode,
        ),
        (
            r#""clientMode":null,"clientAccessToken":"TOKEN","region":"a""#,
            E::Type(Field::Mode, "null"),
        ),
        (
            r#""clientMode":"destination","clientAccessToken":["TOKEN"],"region":"a""#,
            E::Type(Field::Token, "a list"),
        ),
        (
            r#""clientMode":"destination","clientAccessToken":{"TOKEN":1},"region":"a""#,
            E::Type(Field::Token, "an object"),
        ),
        (
            r#""clientMode":"destination","clientAccessToken":-7,"region":"a""#,
            E::Type(Field::Token, "a number"),
        ),
        (
            r#""clientMode":"destination","clientAccessToken":"","region":"a""#,
            E::Token(0),
        ),
        (
            r#""clientMode":"destination","clientAccessToken":"TOKEN\r\nx: y","region":"a""#,
            E::Token(TOKEN.len() + 6),
        ),
        (
            r#""clientMode":"destination","clientAccessToken":"TOKEN\u0000","region":"a""#,
            E::Token(TOKEN.len() + 1),
        ),
        (
            r#""clientMode":"destination","clientAccessToken":"tökén","region":"a""#,
            E::Token(7),
        ),
        (&long, E::Token(ACCESS_TOKEN_MAX + 1)),
        (
            r#""clientMode":"destination","clientAccessToken":"TOKEN","region":true"#,
            E::Type(Field::Region, "true or false"),
        ),
        (
            r#""clientMode":"destination","clientAccessToken":"TOKEN","region":"evil.example/TOKEN""#,
            E::Region,
        ),
        (
            &format!(r#"{GOOD},"clientAccessToken":"other""#),
            E::Twice(Field::Token),
        ),
        (
            &format!(r#"{GOOD},"clientMod\u0065":"destination""#),
            E::Twice(Field::Mode),
        ),
        (
            &format!(r#"{GOOD},"services":["a"],"services":[]"#),
            E::Twice(Field::Services),
        ),
        (
            &format!(r#"{GOOD},"services":null"#),
            E::Type(Field::Services, "null"),
        ),
        (
            &format!(r#"{GOOD},"services":"TOKEN""#),
            E::Type(Field::Services, "a string"),
        ),
        (&format!(r#"{GOOD},"services":["a",1]"#), E::Service(2)),
        (&format!(r#"{GOOD},"services":["a",null]"#), E::Service(2)),
        (
            &format!(r#"{GOOD},"services":["a",["TOKEN"]]"#),
            E::Service(2),
        ),
        (&format!(r#"{GOOD},"services":["a",""]"#), E::Service(2)),
        (&format!(r#"{GOOD},"services":["TOKEN"]"#), E::Service(1)),
        (&service, E::Service(2)),
        (&many, E::Services),
    ] {
        assert_eq!(parse(fields).expect_err(fields), expected, "{fields}");
    }
}

#[test]
fn what_is_no_notification_at_all() {
    use PayloadError as E;
    let good = payload(GOOD);
    let nested = format!("{}1{}", "[".repeat(4000), "]".repeat(4000));
    let open = format!(r#"{{"clientMode":{}"#, "[".repeat(5000));
    for (text, expected) in [
        (String::new(), E::NotJson(1, 0)),
        (format!("{good} {good}"), E::NotJson(1, good.len() + 2)),
        (format!("\u{feff}{good}"), E::NotJson(1, 1)),
        (
            good[..good.len() - 1].to_owned(),
            E::NotJson(1, good.len() - 1),
        ),
        ("[]".to_owned(), E::NotObject),
        ("null".to_owned(), E::NotObject),
        (format!("\"{TOKEN}\""), E::NotObject),
        (nested, E::NotObject),
        (
            " ".repeat(NOTIFICATION_MAX + 1),
            E::TooLong(NOTIFICATION_MAX + 1),
        ),
    ] {
        let shown = text.chars().take(60).collect::<String>();
        let error = Notification::parse(text.as_bytes()).expect_err(&shown);
        assert_eq!(error, expected, "{shown}");
        assert!(!error.to_string().contains(TOKEN));
    }
    assert!(Notification::parse(open.as_bytes()).is_err());
    let mut broken = good.into_bytes();
    broken[25] = 0xff;
    assert_eq!(
        Notification::parse(&broken).expect_err("0xff"),
        E::NotUtf8(25)
    );
}

#[test]
fn bare_tokens() {
    let found = Notification::of_token(&format!(" {TOKEN}\r\n")).expect("a token");
    assert_eq!(found.access_token.expose(), TOKEN);
    assert!(found.region.is_none() && found.services.is_none());
    for bad in [
        "",
        " \n",
        "to ken",
        "tök",
        &"t".repeat(ACCESS_TOKEN_MAX + 1),
    ] {
        let error = Notification::of_token(bad).expect_err(bad);
        assert_eq!(error, PayloadError::Token(bad.trim_ascii().len()));
    }
}

proptest! {
    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Err(error) = Notification::parse(&bytes) {
            prop_assert!(error.to_string().len() < 300);
        }
    }

    #[test]
    fn a_damaged_notification_never_shows_its_token(
        at in 0usize..200, byte in any::<u8>(), cut in 0usize..200, swap in any::<bool>(),
    ) {
        let text = payload(&format!(r#"{GOOD},"services":["TOKEN",{{"TOKEN":"TOKEN"}}],"TOKEN":7"#));
        let mut bytes = text.into_bytes();
        let at = at % bytes.len();
        if swap {
            bytes[at] = byte;
        } else {
            bytes.insert(at, byte);
        }
        bytes.truncate(bytes.len() - cut.min(bytes.len()) * usize::from(byte & 1));
        if let Err(error) = Notification::parse(&bytes) {
            let said = format!("{error} {error:?}");
            prop_assert!(!said.contains("Sentinel"), "{}", said);
        }
    }

    #[test]
    fn every_good_one_is_taken(
        token in "[!#-\\[\\]-~]{1,3072}",
        services in proptest::collection::vec("[a-zA-Z0-9:_-]{1,128}", 0..=DECLARED_MAX),
    ) {
        let text = serde_json::json!({
            "clientAccessToken": token, "clientMode": "destination", "region": "eu-central-1", "services": services,
        });
        let found = Notification::parse(text.to_string().as_bytes()).expect("good");
        prop_assert!(found.access_token.expose() == token);
        prop_assert!(found.services.map_or(0, |list| list.len()) <= services.len());
    }
}
