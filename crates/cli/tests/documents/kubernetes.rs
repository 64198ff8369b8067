//! The manifests of `docs/kubernetes.md`: they are YAML, set options that exist, and name a spool below a mount.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use meditopia::internals::config::reference;
use meditopia_testkit::repository_path;
use serde_json::Value;

fn document() -> String {
    fs::read_to_string(repository_path("docs/kubernetes.md")).unwrap()
}

/// The manifests, read by Ruby, which has a parser of YAML.
fn manifests(document: &str) -> Vec<Value> {
    let blocks = document.split("```yaml\n").skip(1);
    let texts: Vec<&str> = blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    let mut ruby = Command::new("ruby")
        .args(["-ryaml", "-rjson", "-e"])
        .arg("puts YAML.load_stream(STDIN.read).to_json")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ruby runs");
    let mut stdin = ruby.stdin.take().unwrap();
    stdin.write_all(texts.join("---\n").as_bytes()).unwrap();
    drop(stdin);
    let output = ruby.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The specification of the pod that a manifest makes.
fn pod(manifest: &Value) -> &Value {
    match manifest["kind"].as_str().unwrap() {
        "Pod" => &manifest["spec"],
        _ => &manifest["spec"]["template"]["spec"],
    }
}

fn entries<'v>(of: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    of[name].as_array().into_iter().flatten()
}

#[test]
fn each_manifest_names_a_spool_below_a_mount_and_options_that_exist() {
    let document = document();
    let manifests = manifests(&document);
    assert_eq!(manifests.len(), 3);
    for manifest in &manifests {
        for key in ["apiVersion", "kind", "metadata", "spec"] {
            assert!(!manifest[key].is_null(), "no {key} in {manifest}");
        }
        let pod = pod(manifest);
        let mut claims = entries(&manifest["spec"], "volumeClaimTemplates");
        let claimed: Vec<&Value> = claims
            .by_ref()
            .map(|claim| &claim["metadata"]["name"])
            .collect();
        let volumes: Vec<&Value> = entries(pod, "volumes")
            .map(|volume| &volume["name"])
            .collect();
        for container in entries(pod, "containers") {
            let mut spools = 0;
            for variable in entries(container, "env") {
                let name = variable["name"].as_str().unwrap();
                let value = variable["value"].as_str().expect("a value is text");
                let known = reference().find(|option| option.variable() == name);
                assert!(known.is_some(), "no option has the variable {name}");
                if name == "MEDITOPIA_SPOOL" {
                    spools += 1;
                    let below = entries(container, "volumeMounts").any(|mount| {
                        let mount = mount["mountPath"].as_str().unwrap();
                        value
                            .strip_prefix(mount)
                            .is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
                    });
                    assert!(below, "{value} is not below a mount");
                }
            }
            assert_eq!(spools, 1, "{container}");
            for mount in entries(container, "volumeMounts") {
                let name = &mount["name"];
                assert!(
                    volumes.contains(&name) || claimed.contains(&name),
                    "no volume {name}"
                );
            }
        }
        let security = &pod["securityContext"];
        if !security["fsGroup"].is_null() {
            assert_eq!(security["fsGroupChangePolicy"], "OnRootMismatch");
        }
    }
}

#[test]
fn each_state_of_the_page_has_a_test() {
    let tests = fs::read_to_string(repository_path("tests/application/orchestrators.rs")).unwrap();
    let document = document();
    let rows = document
        .lines()
        .filter(|line| line.starts_with("| "))
        .count()
        - 1;
    assert_eq!(rows, 13);
    // The words that a refusal is quoted with are those that the tests look for.
    for quoted in document.lines().filter(|line| line.starts_with("| ")) {
        for words in quoted.split("refused: *").skip(1) {
            let words = words.split('*').next().unwrap();
            let words = words.trim_start_matches("set ").trim_start_matches("name ");
            assert!(tests.contains(words), "no test of {words:?}");
        }
    }
}
