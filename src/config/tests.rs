//! The whole configuration, from flags, files and variables.

use super::*;

#[test]
fn try_it() {
    let text = "thing = \"cell 42\"\nthing = 3\ndefault = \"robot9\"\ncolour = 1\n[tunnel]\nendpoint = 5\nregion = \"eu-central-1\"\n[routes.robot1]\nstall = 10s\nconnections = 65\nport = 3\n[routes.robot2]\ntarget = \"192.168.0.2:0\"\nidle = \"0s\"\npace = 0\n[routes.\"ro bot\"]\ntarget = \"x\"\n[notify]\nendpoint=\"x\"\n[routes.robot2]\npace=-1\nfoo\n[a.b]\n[routes]\n";
    let path = std::env::temp_dir().join("cellgate-try.toml");
    std::fs::write(&path, text).expect("a file");
    let args = [
        "--config",
        path.to_str().expect("x"),
        "-k",
        "-v",
        "--no-ssl-host-verify=x",
        "foo",
    ];
    let args = args.iter().map(|a| (*a).into());
    println!("{}", Config::load(args, &|_| None).expect_err("faults"));
}
