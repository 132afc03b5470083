//! The `demo` command: the proxy, the scripted smart host and the sample traffic in one process.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tokio::net::TcpListener;

use super::{SmartHostOptions, next_steps, sample_traffic, smart_host, store};
use crate::app;
use crate::cli::own_log::OwnLog;
use crate::cli::run::Source;
use crate::config::{LogFormat, LogLevel, LogOptions};

#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Where the proxy listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:2525")]
    pub listen: String,
    /// Where the demo's traces are kept: a new directory, or that of an earlier demo
    #[arg(long, value_name = "DIR", default_value = "relayscope-demo")]
    pub store: PathBuf,
    /// Send the sample messages, then end
    #[arg(long)]
    pub once: bool,
}

/// Runs the demo until it is interrupted.
pub fn run(args: &DemoArgs) -> ExitCode {
    let _log = OwnLog::start(LogOptions { level: LogLevel::Warn, format: LogFormat::Text, filter: None });
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("the operating system refuses a runtime: {error}")),
    };
    runtime.block_on(demo(args))
}

async fn demo(args: &DemoArgs) -> ExitCode {
    let listener = match TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await {
        Ok(listener) => listener,
        Err(error) => return failed(&format!("no port for the demo's smart host: {error}")),
    };
    let Ok(host) = listener.local_addr() else { return failed("no port for the demo's smart host") };
    if let Err(error) = serve_smart_host(listener) {
        return failed(&format!("the demo's smart host can't be started: {error}"));
    }
    if let Err(why) = store::claim(&args.store) {
        eprintln!("relayscope demo: {why}");
        return ExitCode::from(2);
    }
    let source = Source {
        config: Some(PathBuf::from("/dev/null")), // an admin's own file must not leak into the demo
        listen: Some(args.listen.clone()),
        smart_host: Some(host.to_string()),
        store: Some(args.store.clone()),
        http: Some("off".to_owned()),
        take_over: false,
    };
    let running = match source.load().map(app::start) {
        Ok(Ok(running)) => running,
        Ok(Err(error)) => return failed(&error.to_string()),
        Err(exit) => return exit,
    };
    let Some(address) = running.first_address() else { return failed("the proxy has no address") };
    eprintln!("relayscope demo: proxy on {address}, a smart host that misbehaves behind it, traces in {}", args.store.display());
    eprintln!("sending sample messages (a slow one takes a few seconds) …\n");
    let traffic = sample_traffic(address).await;
    print(&next_steps(&traffic, address, &ask(args), !args.once));
    let stop = if args.once { Stop::Now } else { Stop::AtSignal };
    if stop == Stop::AtSignal {
        eprintln!("\nThe proxy goes on until Ctrl-C: ask from another terminal, or send mail of your own.");
    }
    match stop {
        Stop::Now => running.stop().await,
        // Its terminal was closed: nobody would know any more that it runs.
        Stop::AtSignal => running.wait(|| None, |_| {}, || None).await,
    }
    ExitCode::SUCCESS
}

/// On a thread of its own, as a true smart host is a process of its own: it ends with this process.
fn serve_smart_host(listener: TcpListener) -> std::io::Result<()> {
    let listener = listener.into_std()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("smart-host".to_owned()).spawn(move || {
        runtime.block_on(async {
            if let Ok(listener) = TcpListener::from_std(listener) {
                // It fails only if its socket does; the proxy then says that it can't be reached.
                let _ = smart_host(listener, SmartHostOptions::default()).await;
            }
        });
    })?;
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Stop {
    Now,
    AtSignal,
}

/// The flags that lead the query commands to the demo's traces.
fn ask(args: &DemoArgs) -> String {
    format!("--store {}", super::super::in_shell(&args.store.to_string_lossy()))
}

fn print(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end()); // a reader that has gone away is no error
}

fn failed(words: &str) -> ExitCode {
    eprintln!("relayscope demo: {words}");
    ExitCode::from(3)
}
