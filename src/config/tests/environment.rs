//! What wins: flags, then the file, then the environment.

use super::*;

const ENDPOINT: &str = "AWSIOT_TUNNEL_ENDPOINT";
const REGION: &str = "AWSIOT_TUNNEL_REGION";
const CLIENT_TOKEN: &str = "AWSIOT_TUNNEL_CLIENT_TOKEN";

#[test]
fn the_highest_level_that_names_an_endpoint_decides() {
    let folder = Folder::new("levels");
    let routes = "[routes.r]\ntarget = \"h:1\"\n";
    let with = |tunnel: &str| format!("{tunnel}{routes}");
    let silent = folder.write("silent.toml", with(""));
    let endpoint = folder.write("endpoint.toml", with("tunnel.endpoint = \"file:1\"\n"));
    let region = folder.write("region.toml", with("tunnel.region = \"file-1\"\n"));
    for (flags, file, variables, host, unused) in [
        (
            ["-e", "flag"].as_slice(),
            &silent,
            [].as_slice(),
            "flag:443",
            0,
        ),
        (&["-e", "flag"], &endpoint, &[], "flag:443", 1),
        (
            &["-e", "flag"],
            &region,
            &[(REGION, "env-1")],
            "flag:443",
            1,
        ),
        (
            &["-r", "flag-1"],
            &region,
            &[],
            "data.tunneling.iot.flag-1.amazonaws.com:443",
            1,
        ),
        (
            &["-r", "flag-1"],
            &silent,
            &[(ENDPOINT, "env")],
            "data.tunneling.iot.flag-1.amazonaws.com:443",
            0,
        ),
        (&[], &endpoint, &[(ENDPOINT, "env:2")], "file:1", 0),
        (
            &[],
            &endpoint,
            &[(REGION, "env-1"), (ENDPOINT, "env:2")],
            "file:1",
            0,
        ),
        (
            &[],
            &region,
            &[(ENDPOINT, "env:2")],
            "data.tunneling.iot.file-1.amazonaws.com:443",
            0,
        ),
        (&[], &silent, &[(ENDPOINT, "env:2")], "env:2", 0),
        (
            &[],
            &silent,
            &[(REGION, "env-1"), (ENDPOINT, "")],
            "data.tunneling.iot.env-1.amazonaws.com:443",
            0,
        ),
    ] {
        let flags = [flags, &["--config", file]].concat();
        let (config, warnings) = run_with(&flags, &[variables, &[TOKEN]].concat());
        assert_eq!(
            config
                .endpoints
                .choose(None)
                .expect("an endpoint")
                .to_string(),
            host,
            "{flags:?} {variables:?}"
        );
        assert_eq!(warnings.len(), unused, "{warnings:?}");
    }
}

#[test]
fn region_and_endpoint_conflict_on_the_same_level() {
    let faults = wrong(&["-d22", "-e", "h", "-r", "eu-1"]);
    assert!(
        faults[0].starts_with("-r/--region: got an endpoint (-e/--proxy-endpoint) and a region; ")
    );
    let faults = wrong_with(&["-d22"], &[(ENDPOINT, "h"), (REGION, "eu-1"), TOKEN]);
    assert!(
        faults[0].starts_with("AWSIOT_TUNNEL_REGION: got an endpoint (AWSIOT_TUNNEL_ENDPOINT) and")
    );
    let faults = wrong(&["-d22"]);
    assert!(faults[0].starts_with("configuration: got neither region nor endpoint; "));
    let faults = wrong(&["-d22", "-e"]);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    let faults = wrong_with(&["-d22"], &[(ENDPOINT, "h:0"), TOKEN]);
    assert!(
        faults[0].starts_with("AWSIOT_TUNNEL_ENDPOINT: got the port \"0\"; "),
        "{faults:#?}"
    );
}

#[test]
fn tokens_come_from_flags_or_the_environment() {
    let base = ["-d22", "-r", "eu-1"];
    let client = "c".repeat(32);
    let other = "0-".repeat(20);
    let (config, token, warnings) = run_by(&base, &[TOKEN, (CLIENT_TOKEN, &client)]);
    assert_eq!(token.expose(), TOKEN.1);
    assert_eq!(config.client_token.expect("a token").expose(), client);
    assert_eq!(warnings, [""; 0]);

    let flags = [&base, ["-t", "flag-token", "-i", &other].as_slice()].concat();
    let (config, token, warnings) = run_by(&flags, &[TOKEN, (CLIENT_TOKEN, &client)]);
    assert_eq!(token.expose(), "flag-token");
    assert_eq!(config.client_token.expect("a token").expose(), other);
    assert!(warnings[0].starts_with("-t/--access-token: the access token was visible to"));
    assert_eq!(warnings.len(), 1, "{warnings:?}");

    let (config, _) = run_with(&base, &[TOKEN, (CLIENT_TOKEN, "")]);
    assert!(config.client_token.is_none(), "an empty variable is none");
}

#[test]
fn wrong_tokens_are_named_and_not_shown() {
    let base = ["-d22", "-r", "eu-1"];
    for (variables, said) in [
        ([].as_slice(), "configuration: got no access token; "),
        (&[(TOKEN.0, "")], "configuration: got no access token; "),
        (
            &[(TOKEN.0, "hidden token")],
            "AWSIOT_TUNNEL_ACCESS_TOKEN: got 12 bytes (not shown), of which byte 7 is not allowed; ",
        ),
        (
            &[TOKEN, (CLIENT_TOKEN, "hidden")],
            "AWSIOT_TUNNEL_CLIENT_TOKEN: got 6 bytes (not shown); expected 32 to 128 ",
        ),
    ] {
        let faults = wrong_with(&base, variables);
        assert!(faults[0].starts_with(said), "{faults:#?}");
        assert!(
            faults.len() == 1 && !faults[0].contains("hidden"),
            "{faults:#?}"
        );
    }
    let faults = wrong(
        &[
            &base,
            ["-t", "", "-i", "hidden_hidden_hidden_hidden_hidden"].as_slice(),
        ]
        .concat(),
    );
    assert!(faults[0].starts_with("-i/--client-token: got 34 bytes (not shown), of which byte 7 "));
    assert!(
        faults[1].starts_with("-t/--access-token: got 0 bytes (not shown); "),
        "{faults:#?}"
    );
    assert!(!faults.concat().contains("hidden"), "{faults:#?}");
}

#[test]
fn targets_stand_in_one_place() {
    let folder = Folder::new("places");
    let file = folder.write("cellgate.toml", GOOD);
    for flags in [
        ["-d", "22"],
        ["-d", "ssh=22"],
        ["--config-dir", &folder.path("ini")],
    ] {
        folder.write("ini/a.ini", "ssh=22\n");
        let faults = wrong(&[&flags, ["--config", &file].as_slice()].concat());
        assert!(
            faults.iter().any(|fault| fault.contains(
                ": got targets beside those of the file, such as \"robot1\"; expected targets in one place; "
            )),
            "{faults:#?}"
        );
    }
    // Without routes the file goes well with -d, and its default means a service of it.
    let file = folder.write("head.toml", "default = \"b\"\ntunnel.region = \"eu-1\"\n");
    let (config, _) = run(&["-d", "a=1,b=2", "--config", &file]);
    let default = config.routes.default_route().expect("a default");
    assert_eq!((default.name.as_str(), config.file.is_some()), ("b", true));
    assert_eq!(config.reload().expect("the same"), config.routes);
    assert_eq!(config.routes_source(), Some(Path::new(&file)));
    for map in ["a=1", "22"] {
        let faults = wrong(&["-d", map, "--config", &file]);
        assert!(
            faults[0].starts_with(&format!("{file}:1: default: got \"b\"; ")),
            "{faults:#?}"
        );
    }
}

#[test]
fn the_usual_file_is_read_only_if_nothing_else_is_named() {
    let usual = "/etc/cellgate/cellgate.toml";
    if Path::new(usual).exists() {
        return;
    }
    let faults = wrong(&["-r", "eu-1"]);
    assert!(
        faults[0].starts_with(&format!("{usual}: got no content (")),
        "{faults:#?}"
    );
    for flags in [
        ["-d", "22"].as_slice(),
        &["-d"],
        &["--config-dir", "/nowhere"],
        &["--config"],
    ] {
        let found = load(&[flags, &["-r", "eu-1"]].concat(), &[TOKEN]);
        let said = found.map_or_else(|faults| faults.to_string(), |_| String::new());
        assert!(!said.contains(usual), "{said}");
    }
}

#[test]
fn two_routes_to_one_controller_are_worth_a_word() {
    let (_, warnings) = run(&["-d", "a=h:1,b=h:2,c=h:1", "-r", "eu-1"]);
    assert_eq!(
        warnings,
        ["the routes a and c both lead to h:1; each counts its connections for itself"]
    );
}
