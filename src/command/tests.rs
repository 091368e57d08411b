use super::*;

fn parsed(line: &str) -> Option<Result<Command, Misuse>> {
    let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    Command::parse(&arguments)
}

fn what(line: &str) -> What {
    parsed(line).expect("a subcommand").expect("good").what
}

#[test]
fn every_subcommand_is_known_and_everything_else_is_for_the_agent() {
    assert_eq!(what("open"), What::Open(None));
    assert_eq!(what("open --token-file -"), What::Open(None));
    assert_eq!(what("open --token-file /x"), What::Open(Some("/x".into())));
    assert_eq!(what("close"), What::Close(None));
    assert_eq!(what("close 1A2b"), What::Close(Some("1a2b".into())));
    assert_eq!(what("status"), What::Status(false));
    assert_eq!(what("status --json"), What::Status(true));
    assert_eq!(what("check --json"), What::Check(true));
    for word in ["open", "close", "status", "check"] {
        assert!(matches!(what(&format!("{word} --help")), What::Help(_)));
        let command = parsed(&format!("{word} --config /a/b")).expect("a subcommand");
        assert_eq!(command.expect("good").config, Some("/a/b".into()));
    }
    for line in ["", "-d 22", "--config open", "opens", "--help"] {
        assert!(parsed(line).is_none(), "{line}");
    }
}

#[test]
fn what_is_wrong_is_said_in_a_sentence_without_a_token() {
    for (line, part) in [
        ("open -t AQGAsecret", "never taken from the command line"),
        (
            "open --access-token=AQGAsecret",
            "never taken from the command line",
        ),
        ("open AQGAsecret", "an argument more"),
        ("open --json", "--json"),
        ("close xyz", "eight digits"),
        ("close 123456789", "eight digits"),
        ("close 1a 2b", "an argument more"),
        ("status -q", "-q"),
        ("check --config", "--config"),
        ("status --token-file x", "--token-file"),
    ] {
        let misuse = parsed(line).expect("a subcommand").expect_err(line);
        let said = misuse.to_string();
        assert!(said.contains(part) && said.contains("--help"), "{said}");
        assert!(!said.contains("AQGAsecret"), "{said}");
    }
}

#[test]
fn help_fits_a_terminal() {
    for text in [OPEN_HELP, CLOSE_HELP, STATUS_HELP, CHECK_HELP] {
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
