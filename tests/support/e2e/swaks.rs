//! swaks, the mail client that administrators test with.

use std::net::SocketAddr;
use std::process::Command;

use super::process::run;
use super::programs::path_of;

/// Sends one message through `server`; its exit code and the dialogue it printed.
pub fn swaks(server: SocketAddr, message_id: &str, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(path_of("swaks"));
    command.args(["--server", &server.ip().to_string(), "--port", &server.port().to_string()]);
    command.args(["--helo", "client.example", "--from", "ann@from.example", "--to", "bob@to.example", "--timeout", "60"]);
    command.args(["--header", &format!("Message-ID: <{message_id}>")]);
    command.args(["--body", "from swaks"]).args(arguments).env("HOME", "/nonexistent").env_remove("SWAKS_OPTS");
    run(&mut command)
}
