//! A receiver of webhooks that runs beside the test, with the check of the signature that deploy/webhook.md gives.

use std::process::Command;

use super::certificates::Certificates;
use super::place::Place;
use super::process::{Output, Process};
use super::programs::path_of;

pub struct Receiver {
    process: Process,
    pub port: u16,
}

impl Receiver {
    /// `answers`: statuses, `silent`, `broken` or `closed`, one a request, the last one from then on.
    pub fn start(place: &Place, secret: &str, answers: &str, certificates: Option<&Certificates>) -> Self {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let page = std::fs::read_to_string(root.join("deploy/webhook.md")).unwrap();
        let check = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the check in deploy/webhook.md");
        place.file("verify.py", check);
        let program = place.file("receiver.py", std::fs::read(root.join("tests/support/e2e/receiver.py")).unwrap());
        let mut command = Command::new(path_of("python3"));
        command.arg("-B").arg(program).args([secret, answers]);
        command.args(certificates.iter().flat_map(|it| [&it.certificate, &it.key]));
        let process = Process::start(command, false);
        let line = process.output.expect("receiving on ");
        Self { process, port: line.rsplit(' ').next().unwrap().parse().unwrap() }
    }

    pub fn output(&self) -> &Output {
        &self.process.output
    }
}
