//! A real Prometheus that scrapes relayscope.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use super::api;
use super::place::Place;
use super::process::Process;
use super::programs::path_of;
use super::{PATIENCE, ports};

pub struct Prometheus {
    process: Process,
    address: SocketAddr,
}

impl Prometheus {
    /// Scrapes that address each second, with the token, and evaluates the rules.
    pub fn start(place: &Place, target: SocketAddr, token: &Path, rules: &Path) -> Self {
        loop {
            let address = SocketAddr::from(([127, 0, 0, 1], ports::unused()));
            let config = format!(
                "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\nscrape_configs:\n  - job_name: relayscope\n    \
                 authorization: {{credentials_file: '{}'}}\n    static_configs: [{{targets: ['{target}']}}]\n",
                rules.display(),
                token.display()
            );
            let file = place.file("prometheus.yml", config);
            let mut command = Command::new(path_of("prometheus"));
            command.arg(format!("--config.file={}", file.display()));
            command.arg(format!("--storage.tsdb.path={}", place.path("tsdb").display()));
            command.arg(format!("--web.listen-address={address}")).current_dir(place);
            let mut prometheus = Self { process: Process::start(command, false), address };
            let until = Instant::now() + PATIENCE;
            while prometheus.process.is_running() {
                if api::get_tcp(address, "/-/ready", "").is_some_and(|answer| answer.status == 200) {
                    return prometheus;
                }
                assert!(Instant::now() < until, "{}", prometheus.process.output.text());
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            let said = prometheus.process.output.whole();
            assert!(said.contains("address already in use"), "Prometheus did not start:\n{said}");
        }
    }

    /// What it answers; `data` of a success.
    #[track_caller]
    pub fn api(&self, path: &str) -> Value {
        let answer = api::get_tcp(self.address, path, "").expect("an answer");
        let said: Value = serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.body));
        assert_eq!(said["status"], "success", "{path}: {said}");
        said["data"].clone()
    }

    /// The series that a query gives now.
    #[track_caller]
    pub fn query(&self, expression: &str) -> Vec<Value> {
        let encoded: String = expression.bytes().map(|octet| format!("%{octet:02X}")).collect();
        let data = self.api(&format!("/api/v1/query?query={encoded}"));
        data["result"].as_array().cloned().unwrap_or_default()
    }

    pub fn output(&self) -> String {
        self.process.output.text()
    }
}
