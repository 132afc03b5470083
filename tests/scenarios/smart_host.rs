//! A smart host with a script: what it says at each step, changed while it runs.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Its lines, without CRLF; after one that begins with 421 it closes the connection.
#[derive(Debug, Clone)]
pub struct Says {
    pub greeting: String,
    pub mail: String,
    pub rcpt: String,
    pub end_of_data: String,
    /// The mechanisms that it offers, and what it says to a login.
    pub auth: Option<(String, String)>,
    /// Before the reply to end-of-data.
    pub pause: Duration,
}

impl Default for Says {
    fn default() -> Self {
        Self {
            greeting: "220 smtp.provider.example ESMTP ready".to_owned(),
            mail: "250 2.1.0 ok".to_owned(),
            rcpt: "250 2.1.5 ok".to_owned(),
            end_of_data: "250 2.0.0 queued as 4Ab3C9".to_owned(),
            auth: None,
            pause: Duration::ZERO,
        }
    }
}

/// Ends with the process: a situation's last.
pub struct SmartHost {
    pub address: SocketAddr,
    says: Arc<Mutex<Says>>,
}

impl SmartHost {
    pub fn start(says: Says) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), says)
    }

    pub fn on(listener: TcpListener, says: Says) -> Self {
        let address = listener.local_addr().unwrap();
        let says = Arc::new(Mutex::new(says));
        let shared = says.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let says = shared.clone();
                std::thread::spawn(move || serve(stream, &says));
            }
        });
        Self { address, says }
    }

    /// From the next command on.
    pub fn says(&self, change: impl FnOnce(&mut Says)) {
        change(&mut self.says.lock().unwrap());
    }
}

fn serve(stream: TcpStream, says: &Mutex<Says>) -> Option<()> {
    stream.set_read_timeout(Some(crate::support::PATIENCE)).ok()?;
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    let now = || says.lock().unwrap().clone();
    let mut say = |text: &str| -> Option<()> {
        writer.write_all(format!("{text}\r\n").as_bytes()).ok()?;
        (!text.starts_with("421") && !text.starts_with("221")).then_some(())
    };
    say(&now().greeting)?;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let verb = line.split([' ', '\r']).next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => {
                let auth = now().auth.map(|(offers, _)| format!("250-AUTH {offers}\r\n")).unwrap_or_default();
                let offers = "250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n";
                say(&format!("250-smtp.provider.example\r\n{offers}{auth}250 ENHANCEDSTATUSCODES"))?;
            }
            "AUTH" => {
                if line.trim_end().ends_with("PLAIN") {
                    say("334 ")?;
                    line.clear();
                    reader.read_line(&mut line).ok()?;
                }
                say(&now().auth.map(|(_, says)| says).unwrap_or_default())?;
            }
            "MAIL" => say(&now().mail)?,
            "RCPT" => say(&now().rcpt)?,
            "DATA" => {
                say("354 go on")?;
                while line != ".\r\n" {
                    line.clear();
                    if reader.read_line(&mut line).ok()? == 0 {
                        return None;
                    }
                }
                let says = now();
                std::thread::sleep(says.pause); // a slow host
                say(&says.end_of_data)?;
            }
            "QUIT" => say("221 2.0.0 bye")?,
            _ => say("250 2.0.0 ok")?,
        }
    }
}
