//! `--config-dir` and `-c`: what is read from the disk beside the file.

use super::*;

const BASE: [&str; 2] = ["-r", "eu-1"];

fn maps(folder: &Folder) -> [String; 2] {
    ["--config-dir".into(), folder.path("")]
}

#[test]
fn every_file_below_the_folder_is_read() {
    let folder = Folder::new("ini");
    folder.write(
        "cell.ini",
        "; the cell\n\n  robot1 = 192.168.0.2:23  \r\n# and\nssh=22",
    );
    folder.write(
        "deep/er/no-suffix",
        "robot2=[fd00::2]:23\n[old]\nrobot9=9\nnonsense\n",
    );
    let [flag, path] = maps(&folder);
    let (config, warnings) = run(&[BASE.as_slice(), &[&flag, &path]].concat());
    let shown: Vec<String> = config
        .routes
        .iter()
        .map(|route| format!("{}>{}", route.name, route.target))
        .collect();
    assert_eq!(
        shown,
        [
            "robot1>192.168.0.2:23",
            "robot2>[fd00::2]:23",
            "ssh>localhost:22"
        ]
    );
    let deep = folder.path("deep/er/no-suffix");
    assert_eq!(
        warnings,
        [format!(
            "{deep}:2: the mappings of section \"[old]\" are not read, as in localproxy"
        )]
    );

    folder.write("late.ini", "late=1");
    let routes = config.reload().expect("good files");
    assert!(routes.by_name("late").is_some());
    assert_eq!(config.routes_source(), Some(Path::new(&path)));

    // As in the reference, -d goes before the folder.
    let (config, warnings) = run(&[BASE.as_slice(), &[&flag, &path, "-d", "a=1"]].concat());
    assert_eq!(config.routes.iter().count(), 1);
    assert!(warnings[0].starts_with("--config-dir is not read: -d/--destination-app goes before"));
}

#[test]
fn faults_of_maps_have_their_lines() {
    let folder = Folder::new("ini-faults");
    folder.write(
        "a.ini",
        "ssh=22\nrobot1 192.168.0.2\n=23\nvnc=\nweb=/run/web.sock\n s s =1\n",
    );
    folder.write("b.ini", "x=1\nssh=23\n");
    folder.write("c.ini", b"\xff");
    folder.write("d.ini", vec![b';'; 64 * 1024 + 1]);
    let [flag, path] = maps(&folder);
    let faults = wrong(&[BASE.as_slice(), &[&flag, &path]].concat());
    let shown: Vec<&str> = faults
        .iter()
        .map(|fault| fault.strip_prefix(&path).unwrap_or(fault))
        .collect();
    for (fault, said) in shown.iter().zip([
        "c.ini: got a byte in line 1 that is no UTF-8; ",
        "d.ini: got more than 65536 bytes; ",
        "a.ini:2: got \"robot1 192.168.0.2\"; expected a line service=host:port; ",
        "a.ini:3: \"\": got \"\"; expected a service ID ",
        "a.ini:4: vnc: got \"\" (there is no port); ",
        "a.ini:5: web: got \"/run/web.sock\"; expected a host and a TCP port; ",
        "a.ini:6: \"s s\": got \"s s\"; expected a service ID ",
        "b.ini:2: ssh: got this service a second time (first ",
    ]) {
        assert!(fault.starts_with(said), "{said}\n{shown:#?}");
    }
    assert_eq!(shown.len(), 8, "{shown:#?}");
}

#[test]
fn folders_without_maps() {
    let folder = Folder::new("ini-empty");
    let [flag, path] = maps(&folder);
    let faults = wrong(&[BASE.as_slice(), &[&flag, &path]].concat());
    assert!(
        faults[0].starts_with("--config-dir: got no mapping in the 0 files below "),
        "{faults:#?}"
    );
    let faults = wrong(&[BASE.as_slice(), &[&flag, "/nowhere"]].concat());
    assert!(
        faults[0].contains("got no content (No such file or directory (os error 2)) from /nowhere"),
        "{faults:#?}"
    );
    folder.write("a/b/c/d/e/f/g/h/i/deep.ini", "ssh=22");
    let faults = wrong(&[BASE.as_slice(), &[&flag, &path]].concat());
    assert!(
        faults[0].contains("got more files or folders than a configuration has"),
        "{faults:#?}"
    );
    let crowd = Folder::new("ini-crowd");
    for number in 0..257 {
        crowd.write(&number.to_string(), "");
    }
    let [flag, path] = maps(&crowd);
    let faults = wrong(&[BASE.as_slice(), &[&flag, &path]].concat());
    assert!(
        faults[0].contains("got more files or folders than a configuration has"),
        "{faults:#?}"
    );
}

fn authority() -> String {
    cell::certs::Authority::new()
        .expect("an authority")
        .ca_pem()
}

#[test]
fn certificates_from_a_file_a_folder_or_the_key() {
    let folder = Folder::new("ca");
    let (one, two) = (authority(), authority());
    let file = folder.write("both.pem", format!("words before\n{one}\nbetween\n{two}"));
    let (config, warnings) = run(&["-d22", "-r", "eu-1", "-c", &file]);
    assert_eq!((config.extra_roots.len(), warnings.len()), (2, 0));

    // As openssl rehash leaves it: each twice, and a list of revocations.
    let hashed = Folder::new("ca-hashed");
    hashed.write("one.pem", &one);
    std::os::unix::fs::symlink("one.pem", hashed.path("5a4d6896.0")).expect("a link");
    hashed.write("two.crt", &two);
    let revoked = hashed.write(
        "revoked.r0",
        "-----BEGIN X509 CRL-----\nAA==\n-----END X509 CRL-----\n",
    );
    hashed.write("inner/ignored.pem", "-----BEGIN CERTIFICATE-----\n");
    let (config, warnings) = run(&["-d22", "-r", "eu-1", "--capath", &hashed.path("")]);
    assert_eq!(config.extra_roots.len(), 2);
    assert_eq!(
        warnings,
        [format!(
            "-c/--capath: {revoked} holds no certificate in PEM and is passed over"
        )]
    );

    // The key and the flag add up.
    let text =
        format!("tunnel.region = \"eu-1\"\ntunnel.ca = \"{file}\"\nroutes.r.target = \"h:1\"\n");
    let toml = folder.write("cellgate.toml", text);
    let extra = folder.write("extra.pem", authority());
    let (config, _) = run(&["--config", &toml, "-c", &extra]);
    assert_eq!(config.extra_roots.len(), 3);
}

#[test]
fn wrong_certificates_are_faults() {
    let folder = Folder::new("ca-faults");
    let good = authority();
    let key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0LWtleQ==\n-----END PRIVATE KEY-----\n";
    let cut = good.replace("-----END CERTIFICATE-----", "");
    let mangled = good.replacen("MII", "M!I", 1);
    let mangled = if mangled == good {
        good.replacen('\n', "\n!", 1)
    } else {
        mangled
    };
    let other = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, content, said) in [
        ("empty.pem", "", "got no certificate in "),
        ("key.pem", key, "got no certificate in "),
        ("der.pem", "\u{30}\u{82}", "got no certificate in "),
        ("cut.pem", &cut, "got a broken certificate, number 1 in "),
        (
            "mangled.pem",
            &mangled,
            "got a broken certificate, number 1 in ",
        ),
        ("other.pem", other, "got a broken certificate, number 1 in "),
        (
            "second.pem",
            &format!("{good}{other}"),
            "got a broken certificate, number 2 in ",
        ),
    ] {
        let path = folder.write(name, content);
        let faults = wrong(&["-d22", "-r", "eu-1", "-c", &path]);
        assert!(
            faults[0].starts_with(&format!("-c/--capath: {said}{path}")),
            "{faults:#?}"
        );
        assert!(
            faults.len() == 1 && !faults[0].contains("c2Vj"),
            "{faults:#?}"
        );
    }
    let nowhere = wrong(&["-d22", "-r", "eu-1", "-c", "/nowhere"]);
    assert!(
        nowhere[0].contains("-c/--capath: got no content (No such file"),
        "{nowhere:#?}"
    );

    let empty = Folder::new("ca-empty");
    empty.write("README", "no certificates");
    let faults = wrong(&["-d22", "-r", "eu-1", "-c", &empty.path("")]);
    assert!(
        faults[0].contains("-c/--capath: got no certificate in the 1 files of "),
        "{faults:#?}"
    );
    // One broken certificate in a folder, or a link to nothing, is not passed over.
    empty.write("good.pem", &good);
    std::os::unix::fs::symlink("gone.pem", empty.path("0.0")).expect("a link");
    empty.write("bad.pem", &cut);
    let faults = wrong(&["-d22", "-r", "eu-1", "-c", &empty.path("")]);
    assert_eq!(faults.len(), 2, "{faults:#?}");
}
