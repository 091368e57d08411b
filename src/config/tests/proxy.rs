//! The proxy, from the file or from the environment; its password is in no output.

use std::os::unix::fs::PermissionsExt;

use super::sections::{faults_of, service, service_with};
use super::*;

fn proxy_of(url: &str) -> Proxy {
    let folder = Folder::new("proxy-url");
    let (config, _) = service(&folder, &format!("[proxy]\nurl = \"{url}\""));
    config.proxy.expect("a proxy")
}

#[test]
fn urls_as_owners_write_them() {
    for (url, shown, login) in [
        (
            "http://proxy.example:3128",
            "http://proxy.example:3128",
            None,
        ),
        (
            "http://Proxy.Example:3128/",
            "http://proxy.example:3128",
            None,
        ),
        ("http://proxy.example", "http://proxy.example:80", None),
        ("https://proxy.example", "https://proxy.example:443", None),
        (
            "HTTPS://proxy.example:8443",
            "https://proxy.example:8443",
            None,
        ),
        ("proxy.example:3128", "http://proxy.example:3128", None),
        ("http://10.0.0.1:8080", "http://10.0.0.1:8080", None),
        ("http://[fd00::1]:8080", "http://[fd00::1]:8080", None),
        ("http://[fd00::1]", "http://[fd00::1]:80", None),
        // RFC 7617, 2 and 2.1.
        (
            "http://Aladdin:open%20sesame@p:1",
            "http://p:1",
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ),
        (
            "http://test:123%C2%A3@p:1",
            "http://p:1",
            Some("Basic dGVzdDoxMjPCow=="),
        ),
        ("http://u@p:1", "http://p:1", Some("Basic dTo=")),
        ("http://u:@p:1", "http://p:1", Some("Basic dTo=")),
        (
            "http://u:p@ss:w/rd@p:1",
            "http://p:1",
            Some("Basic dTpwQHNzOncvcmQ="),
        ),
        ("u:p@p:1", "http://p:1", Some("Basic dTpw")),
    ] {
        let proxy = proxy_of(url);
        assert_eq!(proxy.to_string(), shown, "{url}");
        assert_eq!(proxy.login.as_ref().map(Secret::expose), login, "{url}");
        assert!(
            login.is_none() || !format!("{proxy:?}").contains("Basic"),
            "{proxy:?}"
        );
        assert_eq!(proxy.tls, shown.starts_with("https"));
    }
}

#[test]
fn a_wrong_url_is_never_repeated() {
    let folder = Folder::new("proxy-wrong");
    for url in [
        "",
        "http://",
        "socks5://secret@p:1080",
        "ftp://secret@p",
        "http://u:secret@",
        "http://u:secret@p:0",
        "http://u:secret@p:99999",
        "http://user:secret",
        "http://u:secret@p:1/path",
        "http://u:secret@fd00::1:3128",
        "http://u:secret%@p:1",
        "http://u:secret%4@p:1",
        "http://u:secret%zz@p:1",
        "http://u:secret%+1@p:1",
        "http://u:secret%0d%0a@p:1",
        "http://u:secret\\u0007@p:1",
        "http://se%3Acret:x@p:1",
        "http://u:secret@p q:1",
        "http//secret@p:1",
        &format!("http://u:{}@p:1", "secret".repeat(100)),
    ] {
        let faults = faults_of(&folder, &format!("[proxy]\nurl = \"{url}\""), &[]);
        assert!(
            faults[0].starts_with("FILE:4: proxy.url: got a URL (not shown) with "),
            "{faults:#?}"
        );
        assert!(
            faults.len() == 1 && !faults[0].contains("secret"),
            "{faults:#?}"
        );
        if url.is_empty() {
            continue;
        }
        let url = url.replace("\\u0007", "\u{7}");
        for name in ["HTTPS_PROXY", "https_proxy"] {
            let faults = faults_of(&folder, "", &[(name, &url)]);
            assert!(
                faults[0].starts_with(&format!("{name}: got a URL (not shown) with ")),
                "{faults:#?}"
            );
            assert!(
                faults.len() == 1 && !faults[0].contains("secret"),
                "{faults:#?}"
            );
        }
    }
}

#[test]
fn a_broken_file_does_not_show_the_password() {
    let folder = Folder::new("proxy-broken");
    for lines in [
        "[proxy]\nurl = http://u:secret@p:1",
        "[proxy]\nurl = \"http://u:secret@p:1",
        "[proxy]\nurl = \"\"\"http://u:\nsecret",
        "[proxy]\nurl http://u:secret",
        "[proxy]\nurl = 'http://u:secret@p:1' x",
        "[proxy]\nurl = [\"http://u:secret@p:1\"]",
        "[proxy]\nurl = { x = \"secret\" }",
        "[proxy]\nurl = \"p\"\nexcept = [\"http://u:secret@p:1\"]",
        "[proxy]\nurl = \"p\"\nexcept = \"http://u:secret@p:1\"",
        "[proxy]\nurl = \"http://u:secret@p:1\"\nurl = \"http://u:secret@p:2\"",
        "[ proxy ]\nurl = http://u:secret",
        "[\"proxy\"]\nurl = http://u:secret",
        "[x]\nproxy.url = http://u:secret",
        "[proxy.url]\nx = http://u:secret",
    ] {
        let faults = faults_of(&folder, lines, &[]).concat();
        assert!(!faults.contains("secret"), "{lines}\n{faults}");
    }
    for text in [
        "proxy = \"http://u:secret@p:1\"\n",
        "proxy = { url = http://u:secret }\n",
    ] {
        let file = folder.write("top.toml", text);
        let faults = wrong(&["--config", &file]).concat();
        assert!(!faults.contains("secret"), "{faults}");
    }
}

#[test]
fn the_file_goes_before_the_environment() {
    let folder = Folder::new("proxy-wins");
    let upper = ("HTTPS_PROXY", "http://u:secret@upper:1");
    let lower = ("https_proxy", "http://lower:2");
    let broken = ("HTTPS_PROXY", "://");
    for (lines, variables, shown, said) in [
        ("", [].as_slice(), None, 0),
        ("", &[upper], Some("http://upper:1"), 0),
        ("", &[lower], Some("http://lower:2"), 0),
        ("", &[lower, upper], Some("http://upper:1"), 0),
        ("", &[lower, ("HTTPS_PROXY", "")], Some("http://lower:2"), 0),
        ("", &[("HTTPS_PROXY", ""), ("NO_PROXY", "?")], None, 0),
        (
            "[proxy]\nurl = \"http://file:3\"",
            &[upper],
            Some("http://file:3"),
            1,
        ),
        (
            "[proxy]\nurl = \"http://file:3\"",
            &[broken, ("NO_PROXY", "*")],
            Some("http://file:3"),
            1,
        ),
    ] {
        let (config, warnings) = service_with(&folder, lines, variables);
        let found = config.proxy.as_ref().map(Proxy::to_string);
        assert_eq!(found.as_deref(), shown, "{lines} {variables:?}");
        assert!(
            config
                .proxy
                .is_none_or(|proxy| proxy.applies("example.com"))
        );
        assert_eq!(warnings.len(), said, "{warnings:?}");
        if said == 1 {
            assert_eq!(
                warnings[0],
                "HTTPS_PROXY is not used: FILE:3: proxy goes before it"
            );
        }
    }
}

#[test]
fn what_is_excepted() {
    let folder = Folder::new("proxy-except");
    let in_file = "[proxy]\nurl = \"p:1\"\nexcept = [\"localhost\", \".example.com\", \"10.0.0.0/8\", \"fd00::/8\"]";
    let (from_file, _) = service(&folder, in_file);
    let text = "localhost,*.example.com:8080, 10.0.0.0/8 ,,[fd00::]/8";
    for name in ["NO_PROXY", "no_proxy"] {
        let variables = [("HTTPS_PROXY", "p:1"), (name, text)];
        let (from_variables, _) = service_with(&folder, "", &variables);
        for (host, applies) in [
            ("data.tunneling.iot.eu-central-1.amazonaws.com", true),
            ("localhost", false),
            ("LocalHost.", false),
            ("mylocalhost", true),
            ("example.com", false),
            ("a.example.com", false),
            ("10.1.2.3", false),
            ("11.1.2.3", true),
            ("::ffff:10.1.2.3", false),
            ("fd12::1", false),
            ("[fd12::1]", false),
            ("fe80::1", true),
            ("", true),
        ] {
            for config in [&from_file, &from_variables] {
                let proxy = config.proxy.as_ref().expect("a proxy");
                assert_eq!(proxy.applies(host), applies, "{host}");
            }
        }
    }
    let faults = faults_of(
        &folder,
        "",
        &[("HTTPS_PROXY", "p:1"), ("NO_PROXY", "a,secret word/,b")],
    );
    assert!(
        faults[0].starts_with("NO_PROXY: got entry 3 (not shown); expected a name, "),
        "{faults:#?}"
    );
    let many = "a,".repeat(1000);
    let faults = faults_of(&folder, "", &[("HTTPS_PROXY", "p:1"), ("NO_PROXY", &many)]);
    assert_eq!(faults.len(), 1, "{faults:#?}");
}

#[test]
fn a_password_that_everybody_can_read_is_worth_a_word() {
    let folder = Folder::new("proxy-mode");
    for (lines, mode, said) in [
        ("[proxy]\nurl = \"http://u:secret@p:1\"", 0o644, 1),
        ("[proxy]\nurl = \"http://u:secret@p:1\"", 0o640, 0),
        ("[proxy]\nurl = \"http://p:1\"", 0o644, 0),
    ] {
        folder.write("cellgate.toml", "");
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(folder.path("cellgate.toml"), mode).expect("its own file");
        let (_, warnings) = service(&folder, lines);
        assert_eq!(warnings.len(), said, "{warnings:?}");
        assert!(!warnings.concat().contains("secret"));
    }
}
